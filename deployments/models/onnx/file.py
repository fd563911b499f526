"""ONNX files, read as data: what a file may hold is checked before an engine sees it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

from deployments.models.onnx.tensors import check_inferred_sizes, check_tensor, stored_tensors, text
from deployments.models.onnx.wire import check_fields

MOST_BYTES = 2 * 1024**3
"""Of the file without its external data: protobuf's own limit."""
MOST_NODES = 100_000
"""Operators, those of nested graphs counted in; Mask R-CNN has 2000."""
MOST_FIELDS = 2_000_000
"""Values of protobuf, counted before any is allocated; Mask R-CNN has fewer than 40 000."""
DOMAINS = ("", "ai.onnx")
"""Both name the operators of the ONNX standard."""

Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """Of a file with one input.

    shape: its sides, None where any size will do; outputs: the same of each, None where unknown; data_files: names of
    those beside the file that hold tensors of it.
    """

    input: str
    shape: Shape
    dtype: np.dtype[np.generic]
    outputs: dict[str, Shape | None]
    data_files: tuple[str, ...]


def read_signature(path: Path) -> Signature:
    """Check a file, and read what it takes and answers. No tensor of it is copied, no external data is read.

    Raises ValueError naming what is wrong: a damaged file, operators that are not ONNX's, functions of its own, several
    inputs, data outside of the file's folder, sizes beyond any use. OSError where it cannot be read.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"the file has {size} bytes; at most {MOST_BYTES} are read")
    data = path.read_bytes()
    check_fields(data, ModelProto.DESCRIPTOR, MOST_FIELDS)  # type: ignore[arg-type]
    try:
        model = ModelProto.FromString(data)
    except DecodeError as error:
        raise ValueError("the file is damaged, or no ONNX file") from error
    opset = _opset(model)
    graphs = list(_graphs(model.graph))
    count = sum(len(graph.node) for graph in graphs)
    if count > MOST_NODES:
        raise ValueError(f"the graph has {count} operators; at most {MOST_NODES} are taken")
    data_files = set[str]()
    for graph in graphs:
        if graph.sparse_initializer:
            raise ValueError("the graph has sparse tensors, which are not supported")
        for node in graph.node:
            _check_node(node, opset)
        for tensor in stored_tensors(graph):
            if name := check_tensor(tensor, path.parent):
                data_files.add(name)
    signature = _signature(model.graph, tuple(sorted(data_files)))
    _check_standard(path)
    check_inferred_sizes(model)
    return signature


def _opset(model: ModelProto) -> int:
    if model.functions:
        names = ", ".join(sorted({text(function.name) for function in model.functions})[:3])
        raise ValueError(f"the file defines functions of its own ({names[:100]}); export it with them inlined")
    if model.training_info:
        raise ValueError("the file holds training information; export it for inference")
    versions = [each.version for each in model.opset_import if each.domain in DOMAINS]
    if len(versions) != 1 or not 1 <= versions[0] <= onnx.defs.onnx_opset_version():
        raise ValueError(
            f"the file uses version {', '.join(map(str, versions)) or 'none'} of ONNX's operators; "
            f"1 to {onnx.defs.onnx_opset_version()} are known"
        )
    return int(versions[0])


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph and those nested in it; protobuf bounds how deep."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)
            for nested in attribute.graphs:
                yield from _graphs(nested)


def _check_node(node: NodeProto, opset: int) -> None:
    name = text(node.op_type)
    if node.domain not in DOMAINS:
        raise ValueError(f"the custom operator {node.domain[:100]}.{name[:100]} is not supported")
    if not onnx.defs.has(name, opset, ""):
        raise ValueError(f"ONNX has no operator {name[:100]!r} in version {opset} of its operators")
    for attribute in node.attribute:
        if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
            raise ValueError(f"the operator {name} has a sparse tensor, which is not supported")


def _signature(graph: GraphProto, data_files: tuple[str, ...]) -> Signature:
    stored = {tensor.name for tensor in graph.initializer}
    inputs = [each for each in graph.input if each.name not in stored]
    if len(inputs) != 1:
        names = ", ".join(text(each.name)[:100] for each in inputs[:10])
        raise ValueError(f"the graph has {len(inputs)} inputs ({names or 'none'}); it must have one, the pictures")
    outputs = {text(each.name): _shape(each) for each in graph.output}
    if len(outputs) != len(graph.output):
        raise ValueError("the graph has two outputs of one name")
    shape, name = _shape(inputs[0]), text(inputs[0].name)
    if shape is None:
        raise ValueError(f"the input {name[:100]!r} is no tensor of a known rank")
    if any(side is not None and side < 1 for side in shape):
        raise ValueError(f"the input {name[:100]!r} has a side below 1")
    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(inputs[0].type.tensor_type.elem_type)
    except KeyError as error:
        raise ValueError(f"the input {name[:100]!r} is of an unknown type") from error
    return Signature(name, shape, dtype, outputs, data_files)


def _shape(value: ValueInfoProto) -> Shape | None:
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not tensor.HasField("shape"):
        return None
    return tuple(side.dim_value if side.HasField("dim_value") else None for side in tensor.shape.dim)


def _check_standard(path: Path) -> None:
    """What the standard asks of a file: values computed before they are used, operators' attributes, and more."""
    try:
        onnx.checker.check_model(str(path))
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        raise ValueError(f"the file is no valid ONNX: {str(error)[:500]}") from error
