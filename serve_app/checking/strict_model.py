"""Checks data against pydantic models more strictly than they do: nothing unknown, nothing of a wrong type."""

import json
import warnings
from collections.abc import Iterator, Mapping
from copy import copy, deepcopy
from difflib import get_close_matches
from inspect import isclass
from types import UnionType, new_class
from typing import Any, Optional, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from serve_app.checking.marked_yaml import Path, Problem


class StrictModel:
    """A pydantic model, read more strictly than it reads itself.

    A key that a model does not name is a problem, at any depth, and so is a value that had to be converted (``"8"`` for
    8). Where a model accepts a bare mapping or another model, the other model it is. Only the validators of the models
    run: no constructor of theirs, since Ray's import code by the names that a file gives.

    ``substitutes`` are the types of fields, by name, that are declared as bare mappings but have a known form.
    """

    def __init__(self, model: type[BaseModel], substitutes: Mapping[str, type[BaseModel]] | None = None) -> None:
        self.substitutes = substitutes or {}
        self.form = self._form(model)
        self.rules = self._rules(model)

    def problems(self, value: object) -> Iterator[Problem]:
        """Everything wrong with JSON-like ``value``: first its form, then what validators refuse in the rest of it."""
        formal = self._formal_problems(value)
        yield from formal
        if any(not problem.path for problem in formal):
            return
        sound = deepcopy(value)
        # The deepest first: of a union, one branch can object to a mapping and another to a key in it.
        for problem in sorted(formal, key=lambda problem: len(problem.path), reverse=True):
            _remove(sound, problem.path)
        try:
            # What a value is deprecated for is no reason to refuse it.
            with warnings.catch_warnings(action="ignore"):
                self.rules.model_validate(sound)
        except ValidationError as invalid:
            for error in invalid.errors(include_url=False):
                if error["type"] in ("value_error", "assertion_error"):
                    yield Problem(_path_in(sound, error), str(error["ctx"]["error"]))
        except Exception as error:
            # A validator that fails on what another check has already found says nothing new.
            if not formal:
                yield Problem((), f"refused: {error}")

    def _formal_problems(self, value: object) -> list[Problem]:
        try:
            # As JSON, since strict Python input would want enum members and tuples where a file has text and lists.
            self.form.model_validate_json(json.dumps(value), strict=True)
        except ValidationError as invalid:
            errors: dict[Path, list[ErrorDetails]] = {}
            for error in invalid.errors(include_url=False):
                errors.setdefault(_path_in(value, error), []).append(error)
            return [Problem(path, self._message(path, branches)) for path, branches in errors.items()]
        return []

    def _message(self, path: Path, branches: list[ErrorDetails]) -> str:
        """One sentence for what is wrong at ``path``; where a union was wanted, there is an error for each branch."""
        if branches[0]["type"] == "extra_forbidden":
            known = _known_keys(self.form, path[:-1])
            close = get_close_matches(str(path[-1]).lower(), known, n=1)
            return f"unknown key; did you mean {close[0]}?" if close else f"unknown key; known are {', '.join(known)}"
        if branches[0]["type"] == "missing":
            return "missing"
        wanted = dict.fromkeys(error["msg"].removeprefix("Input should be ") for error in branches)
        got = json.dumps(branches[0]["input"])
        return f"should be {' or '.join(wanted)}, got {got if len(got) <= 60 else got[:57] + '...'}"

    def _form(self, model: type[BaseModel]) -> type[BaseModel]:
        """Fields and types of ``model`` without its validators."""
        # A model that takes extra keys on purpose keeps them.
        extra = "allow" if model.model_config.get("extra") == "allow" else "forbid"
        config = ConfigDict(
            **{**model.model_config, "extra": extra, "strict": True, "arbitrary_types_allowed": True}  # type: ignore[typeddict-item]
        )
        fields = {
            name: (_replace_models(self._declared(name, info), self._form), copy(info))
            for name, info in model.model_fields.items()
        }
        return create_model(model.__name__, __config__=config, **fields)  # type: ignore[call-overload, no-any-return]

    def _declared(self, name: str, info: FieldInfo) -> Any:
        if name not in self.substitutes:
            return info.annotation
        optional = type(None) in get_args(info.annotation)
        return Optional[self.substitutes[name]] if optional else self.substitutes[name]  # noqa: UP045

    def _rules(self, model: type[BaseModel]) -> type[BaseModel]:
        """``model`` with its validators, but built without its constructor."""
        plain = new_class(model.__name__, (model,), exec_body=lambda body: body.update(__init__=BaseModel.__init__))
        fields = {
            name: (_replace_models(info.annotation, self._rules), copy(info))
            for name, info in model.model_fields.items()
        }
        return create_model(model.__name__, __base__=plain, **fields)  # type: ignore[call-overload, no-any-return]


def _replace_models(annotation: Any, convert: Any) -> Any:
    """``annotation`` with each model in it converted, and without the bare mappings that a union offers beside one."""
    if isclass(annotation) and issubclass(annotation, BaseModel):
        return convert(annotation)
    if not _models_in(annotation):
        return annotation
    arguments = get_args(annotation)
    if get_origin(annotation) not in (Union, UnionType):
        return get_origin(annotation)[tuple(_replace_models(argument, convert) for argument in arguments)]
    kept = [argument for argument in arguments if _models_in(argument) or dict not in (argument, get_origin(argument))]
    return Union[tuple(_replace_models(argument, convert) for argument in kept)]  # noqa: UP007


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isclass(annotation) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def _fields_by_key(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {info.alias or name: info for name, info in model.model_fields.items()}


def _known_keys(model: type[BaseModel], path: Path) -> list[str]:
    """The keys that the models at ``path`` below ``model`` name."""
    models = [model]
    for key in path:
        fields = [fields[key] for fields in map(_fields_by_key, models) if key in fields]
        if fields:
            models = [nested for info in fields for nested in _models_in(info.annotation)]
    return [key for model in models for key in _fields_by_key(model)]


def _path_in(value: Any, error: ErrorDetails) -> Path:
    """An error's place in the data: its location without the names of union branches."""
    path: Path = ()
    for part in error["loc"]:
        inside = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if inside or (isinstance(value, dict) and part in value):
            value = value[part]
            path = (*path, part)
    return (*path, error["loc"][-1]) if error["type"] == "missing" else path


def _remove(value: Any, path: Path) -> None:
    """Take out what stands at ``path``, leaving every other path as it is."""
    *parents, last = path
    for part in parents:
        value = value[part]
    if isinstance(value, dict):
        value.pop(last, None)
    else:
        value[last] = {}
