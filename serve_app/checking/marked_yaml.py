"""YAML read into plain data that remembers its lines, safely from files that nobody has vetted."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

MAX_BYTES = 256 * 1024
MAX_VALUES = 20_000
"""Of one file with its aliases written out: a few lines of them can stand for billions of values."""
MAX_DEPTH = 50

_CORE = "tag:yaml.org,2002:"
_TAGS = {f"{_CORE}{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null")}
"""Of what JSON has too."""
_MERGE = f"{_CORE}merge"

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a file. ``line`` counts from 1; an empty path is the file as a whole."""

    path: Path
    message: str
    line: int | None = None

    def __str__(self) -> str:
        """``applications[0].nam: unknown key``, on one line and free of control characters."""
        text = " ".join(f"{dotted(self.path)}: {self.message}".split()) if self.path else " ".join(self.message.split())
        return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)

    def under(self, path: Path) -> "Problem":
        """The same problem in data that stands at ``path`` of a larger whole."""
        return replace(self, path=path + self.path)


class UnreadableYaml(ValueError):
    """The text is no YAML, or more than is read here. ``line`` counts from 1."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass
class Document:
    """One YAML document: JSON-like data, what in it had to be forced into that form, and where everything stands."""

    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    literal_blocks: set[Path] = field(default_factory=set)
    """Texts written as a ``|`` block: their own first line is the one after their key's."""
    problems: list[Problem] = field(default_factory=list)

    def line(self, path: Path) -> int | None:
        """Where ``path`` stands, or the nearest thing around it that is there."""
        return next((self.lines[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self.lines), None)


def dotted(path: Path) -> str:
    """``("applications", 0, "name")`` as ``applications[0].name``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"[\w-]+", part):
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part)}]"
    return text


def read_documents(text: bytes | str) -> list[Document]:
    """Every document of a YAML stream, with duplicate keys, tags and non-JSON values as problems of theirs.

    Plain words mean what PyYAML's ``safe_load`` takes them for. Raises UnreadableYaml.
    """
    if len(text) > MAX_BYTES:
        raise UnreadableYaml(f"larger than {MAX_BYTES // 1024} KiB")
    try:
        return list(_Reader().documents(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        why = ", ".join(part for part in (error.context, error.problem) if part)
        raise UnreadableYaml(f"not YAML: {why}", mark.line + 1 if mark else None) from error
    except yaml.YAMLError as error:
        raise UnreadableYaml(f"not YAML: {error}") from error
    except RecursionError as error:
        raise UnreadableYaml(f"nested more than {MAX_DEPTH} deep") from error
    except ValueError as error:
        # PyYAML lets the error of a directive or an escape that is out of range through as it comes.
        raise error if isinstance(error, UnreadableYaml) else UnreadableYaml(f"not YAML: {error}") from error


class _Reader:
    """Turns composed nodes into data; one for all documents of a stream, whose limits they share."""

    def __init__(self) -> None:
        self.values = 0
        self.constructor = SafeConstructor()

    def documents(self, text: bytes | str) -> Iterator[Document]:
        for root in yaml.compose_all(text, Loader=yaml.SafeLoader):
            self.document = Document(lines={(): root.start_mark.line + 1})
            self.document.value = self.value(root, ())
            yield self.document

    def problem(self, node: yaml.Node, path: Path, message: str) -> None:
        self.document.problems.append(Problem(path, message, node.start_mark.line + 1))

    def value(self, node: yaml.Node, path: Path) -> Any:
        self.values += 1
        if self.values > MAX_VALUES:
            raise UnreadableYaml(f"more than {MAX_VALUES} values, aliases written out", node.start_mark.line + 1)
        if len(path) > MAX_DEPTH:
            raise UnreadableYaml(f"nested more than {MAX_DEPTH} deep", node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode) and node.tag.startswith(_CORE) and node.tag not in _TAGS:
            self.problem(node, path, f"reads as a {node.tag.removeprefix(_CORE)}; quote it to mean text")
        elif node.tag not in _TAGS:
            self.problem(node, path, f"the tag {node.tag} means nothing here")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.placed(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in _TAGS:
            return self.scalar(node, path)
        return node.value

    def placed(self, node: yaml.Node, path: Path) -> Any:
        self.document.lines[path] = node.start_mark.line + 1
        return self.value(node, path)

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        first_line: dict[str, int] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                merged = self.merged(value_node, path) | merged
                continue
            key = self.value(key_node, path)
            if not isinstance(key, str):
                self.problem(key_node, path, f"the key {json.dumps(key)} is no text; quote it")
                continue
            line = key_node.start_mark.line + 1
            if key in own:
                self.problem(key_node, (*path, key), f"duplicate key; it is on line {first_line[key]} already")
                continue
            self.document.lines[*path, key] = first_line[key] = line
            if isinstance(value_node, yaml.ScalarNode) and value_node.style == "|":
                self.document.literal_blocks.add((*path, key))
            own[key] = self.value(value_node, (*path, key))
        return merged | own

    def merged(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        """What ``<<:`` brings in: of several mappings, the earlier wins."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        result: dict[str, Any] = {}
        for source in sources:
            value = self.value(source, path)
            if not isinstance(value, dict):
                self.problem(source, path, "<< takes a mapping or a list of mappings")
                continue
            result = value | result
        return result

    def scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        try:
            value = self.constructor.construct_object(node)
            str(value).encode()
        except UnicodeEncodeError:
            self.problem(node, path, "holds half of a surrogate pair")
            return None
        except (ValueError, KeyError, OverflowError):
            self.problem(node, path, f"is no {node.tag.removeprefix(_CORE)}")
            return None
        if isinstance(value, int) and value.bit_length() > 63:
            self.problem(node, path, "a number of more than 64 bits")
            return None
        return value
