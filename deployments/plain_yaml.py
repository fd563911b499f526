"""YAML read as ``yaml.safe_load`` reads it, from files that somebody else may have written."""

from typing import Any

import yaml

MAX_BYTES = 1024 * 1024
MAX_VALUES = 50_000
"""Of one file with its aliases written out: a few lines of them can stand for billions of values."""


def read_yaml(text: bytes | str) -> Any:
    """The one document of a text. Raises ValueError for what is no YAML, and for more than is read here."""
    if len(text) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES} bytes")
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            return None
        _count(root)
        return loader.construct_document(root)
    except RecursionError:
        raise ValueError("nested too deep") from None
    except yaml.YAMLError as error:
        raise ValueError(f"no YAML: {error}") from error
    except (LookupError, TypeError, AttributeError) as error:
        # what PyYAML's own constructors raise for a tag that does not fit its value, as in "!!bool maybe"
        raise ValueError("no YAML: a value does not fit its tag") from error


def _count(root: yaml.Node) -> None:
    """Raise ValueError for more than MAX_VALUES; a node that holds itself never comes to an end."""
    waiting, count = [root], 0
    while waiting:
        node = waiting.pop()
        count += 1
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            waiting += [part for pair in node.value for part in pair]
        if count + len(waiting) > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES} values, aliases written out")
