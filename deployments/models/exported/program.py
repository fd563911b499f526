"""A program of torch.export, run operator by operator."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from deployments.models.exported.archive import DTYPES, STRIDED, Archive, Json
from deployments.models.exported.input_rule import InputRule
from deployments.models.exported.operators import Operator, find_operator

CONSTANTS: dict[str, dict[int, Any]] = {
    "as_scalar_type": DTYPES,
    "as_memory_format": {
        1: torch.contiguous_format,
        2: torch.channels_last,
        3: torch.channels_last_3d,
        4: torch.preserve_format,
    },
    "as_layout": {STRIDED: torch.strided},
}
"""Of each kind of argument, the numbers that torch's schema gives them."""
LITERALS = {"as_int", "as_ints", "as_bool", "as_bools", "as_string", "as_strings", "as_int_lists"}


@dataclass(frozen=True, slots=True)
class Reference:
    """A value that the program has computed before."""

    name: str


@dataclass(frozen=True, slots=True)
class Step:
    """One call: outputs are names, lists of names, or None for what is not kept; dropped are needed no more."""

    operator: Operator
    positional: list[Any]
    keywords: dict[str, Any]
    outputs: list[Any]
    dropped: list[str]


class Program:
    """Takes one tensor, and answers tensors by name.

    An output has two names: that of its node, and its keys in what the exported module returned, such as ``boxes`` of
    a dictionary, ``0`` of a tuple, ``detections.boxes`` where one is in the other.
    """

    def __init__(self, archive: Archive, device: torch.device) -> None:
        """Raises ValueError where the archive's graph is none that this can run."""
        # with its index, without which it would not equal that of a tensor
        self.device = torch.empty(0, device=device).device
        try:
            self.values = dict(self._stored(archive))
            self.input = self._only_input(archive)
            meta = archive.graph["tensor_values"][self.input]
            self.rule = InputRule(self.input, meta["sizes"], archive.ranges, archive.guards)
            self.dtype = DTYPES[meta["dtype"]]
            self.outputs = dict(_outputs(archive))
            self.steps = self._steps(archive.graph["nodes"])
        except (KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            raise ValueError(f"a malformed graph: {type(error).__name__} {str(error)[:100]}") from error

    @torch.inference_mode()
    def __call__(self, images: Tensor, names: Sequence[str]) -> list[Tensor]:
        """The outputs of these names, which are keys of ``outputs``. images: of ``dtype``, on the device.

        Raises ValueError for images of a shape that the program was not exported for.
        """
        self.rule.check(tuple(images.shape))
        values: dict[str, Any] = {**self.values, self.input: images}
        for step in self.steps:
            positional = [_resolve(argument, values) for argument in step.positional]
            keywords = {name: _resolve(argument, values) for name, argument in step.keywords.items()}
            _keep(step.operator(*positional, **keywords), step.outputs, values)
            for name in step.dropped:
                del values[name]
        return [values[self.outputs[name]] for name in names]

    def _stored(self, archive: Archive) -> Iterator[tuple[str, Tensor]]:
        """Weights, buffers and constants, by the names that the graph has for them."""
        for kind, spec in _kinds(archive.signature["input_specs"]):
            if kind == "parameter":
                tensor = archive.weights[spec["parameter_name"]]
            elif kind == "buffer":
                tensor = (archive.weights if spec["persistent"] else archive.constants)[spec["buffer_name"]]
            elif kind == "tensor_constant":
                tensor = archive.constants[spec["tensor_constant_name"]]
            else:
                continue
            yield spec["arg"]["name"], tensor.to(self.device)

    def _only_input(self, archive: Archive) -> str:
        inputs = []
        for kind, spec in _kinds(archive.signature["input_specs"]):
            if kind == "user_input":
                inputs.append(spec["arg"])
            elif kind not in ("parameter", "buffer", "tensor_constant", "constant_input"):
                raise ValueError(f"the program has an input of the kind {kind[:100]}")
        if len(inputs) != 1 or "as_tensor" not in inputs[0]:
            raise ValueError(f"the program has {len(inputs)} inputs; it must have one, a tensor")
        return str(inputs[0]["as_tensor"]["name"])

    def _steps(self, nodes: Sequence[Json]) -> list[Step]:
        known = {*self.values, self.input}
        steps = []
        for node in nodes:
            operator = find_operator(node["target"])
            positional, keywords = [], {}
            for argument in node["inputs"]:
                value = self._argument(argument["arg"])
                if missing := set(_references(value)) - known:
                    raise ValueError(f"the program uses {missing.pop()[:100]} before it computes it")
                if argument.get("kind") == 1:
                    positional.append(value)
                else:
                    keywords[argument["name"]] = value
            outputs = [_names(output) for output in node["outputs"]]
            known.update(_flat(outputs))
            steps.append(Step(operator, positional, keywords, outputs, []))
        if missing := set(self.outputs.values()) - known:
            raise ValueError(f"the program answers {missing.pop()[:100]}, which it does not compute")
        self._drop_early(steps)
        return steps

    def _drop_early(self, steps: Sequence[Step]) -> None:
        """Let each step drop what no later one needs, so that memory is that of a usual forward pass."""
        kept = {*self.values, self.input, *self.outputs.values()}
        for step in reversed(steps):
            used = {*_flat(step.outputs), *_references(step.positional), *_references(list(step.keywords.values()))}
            step.dropped.extend(used - kept)
            kept |= used

    def _argument(self, argument: Json) -> Any:
        ((kind, value),) = argument.items()
        if kind in LITERALS:
            return value
        if kind in ("as_float", "as_floats"):  # infinity and NaN are written as text
            return float(value) if kind == "as_float" else [float(each) for each in value]
        if kind in ("as_tensor", "as_name"):
            return Reference(value["name"] if kind == "as_tensor" else value)
        if kind == "as_tensors":
            return [Reference(each["name"]) for each in value]
        if kind in ("as_sym_int", "as_sym_float", "as_sym_bool", "as_optional_tensor"):
            return self._argument(value)
        if kind in ("as_sym_ints", "as_sym_floats", "as_sym_bools", "as_optional_tensors"):
            return [self._argument(each) for each in value]
        if kind == "as_none":
            return None
        if kind == "as_device":
            return self.device
        if kind in CONSTANTS:
            return CONSTANTS[kind][value]
        raise ValueError(f"the program passes an argument of the kind {kind[:100]}")


def _kinds(specs: Sequence[Json]) -> Iterator[tuple[str, Json]]:
    """Each of the schema's unions, which have one key, as that key and its value."""
    for spec in specs:
        ((kind, value),) = spec.items()
        yield kind, value


def _outputs(archive: Archive) -> Iterator[tuple[str, str]]:
    """Names of the outputs, and the nodes that compute them."""
    nodes = []
    for kind, spec in _kinds(archive.signature["output_specs"]):
        if kind != "user_output":
            raise ValueError(f"the program has an output of the kind {kind[:100]}; export it for evaluation")
        nodes.append(spec["arg"].get("as_tensor", {}).get("name"))
    yield from ((node, node) for node in nodes if node)
    paths = list(_paths(archive.output_tree, "")) if archive.output_tree else []
    if len(paths) == len(nodes):
        yield from ((path, node) for path, node in zip(paths, nodes, strict=True) if node)


def _paths(tree: Json, path: str) -> Iterator[str]:
    """Where each leaf lies, in order."""
    children = tree["children_spec"]
    if tree["type"] is None:
        yield path
        return
    keys = json.loads(tree["context"]) if tree["type"] == "builtins.dict" else range(len(children))
    for key, child in zip(keys, children, strict=True):
        yield from _paths(child, f"{path}.{key}" if path else str(key))


def _names(output: Json) -> Any:
    """Name, list of names, or None, under which a step's output is kept."""
    ((kind, value),) = output.items()
    if kind == "as_tensor":
        return value["name"]
    if kind == "as_tensors":
        return [each["name"] for each in value]
    if kind in ("as_sym_int", "as_sym_float", "as_sym_bool"):
        return value["as_name"]
    if kind == "as_none":
        return None
    raise ValueError(f"the program computes an output of the kind {kind[:100]}")


def _keep(result: Any, outputs: Sequence[Any], values: dict[str, Any]) -> None:
    if not outputs:  # an assertion
        return
    for name, value in zip(outputs, result if len(outputs) > 1 else [result], strict=True):
        if isinstance(name, list):
            values.update(zip(name, value, strict=True))
        elif name is not None:
            values[name] = value


def _flat(names: Sequence[Any]) -> Iterator[str]:
    for name in names:
        if isinstance(name, list):
            yield from name
        elif name is not None:
            yield name


def _references(argument: Any) -> Iterator[str]:
    if isinstance(argument, Reference):
        yield argument.name
    elif isinstance(argument, list):
        for each in argument:
            yield from _references(each)


def _resolve(argument: Any, values: dict[str, Any]) -> Any:
    if isinstance(argument, Reference):
        return values[argument.name]
    if isinstance(argument, list):
        return [_resolve(each, values) for each in argument]
    return argument
