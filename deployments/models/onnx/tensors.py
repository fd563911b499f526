"""Tensors of ONNX files: how much they hold, and where."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
from onnx import GraphProto, ModelProto, TensorProto

MOST_TENSOR_BYTES = 1024**3
"""Of any one tensor whose size the file fixes, stored or computed."""
ITEM_BYTES: dict[int, int] = {
    TensorProto.FLOAT: 4,
    TensorProto.UINT8: 1,
    TensorProto.INT8: 1,
    TensorProto.UINT16: 2,
    TensorProto.INT16: 2,
    TensorProto.INT32: 4,
    TensorProto.INT64: 8,
    TensorProto.BOOL: 1,
    TensorProto.FLOAT16: 2,
    TensorProto.DOUBLE: 8,
    TensorProto.UINT32: 4,
    TensorProto.UINT64: 8,
    TensorProto.BFLOAT16: 2,
}
"""Of the types that tensors may have here."""
EXTERNAL_KEYS = {"location", "offset", "length", "checksum"}
LARGE_BYTES = 4096
"""Stored tensors above this hold weights, not shapes, and are not looked into."""


def stored_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """A graph's, and those of its operators, but for nested graphs."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def check_tensor(tensor: TensorProto, folder: Path) -> str | None:
    """The name of the file beside the model that holds a tensor; None where the model's own does.

    folder: where the model lies. Raises ValueError unless the tensor holds as much as it declares.
    """
    name = tensor.name[:100]
    if tensor.data_type not in ITEM_BYTES:
        raise ValueError(f"the tensor {name!r} is of a type that is not supported: {type_name(tensor.data_type)}")
    if any(side < 0 for side in tensor.dims):
        raise ValueError(f"the tensor {name!r} has a negative side")
    elements = math.prod(tensor.dims)
    declared = elements * ITEM_BYTES[tensor.data_type]
    if declared > MOST_TENSOR_BYTES:
        raise ValueError(f"the tensor {name!r} declares {declared} bytes; at most {MOST_TENSOR_BYTES} are taken")
    if tensor.HasField("segment"):
        raise ValueError(f"the tensor {name!r} is in segments, which are not supported")
    if tensor.data_location == TensorProto.EXTERNAL:
        return _external_file(tensor, declared, folder)
    if tensor.external_data:
        raise ValueError(f"the tensor {name!r} is stored in the file and outside of it")
    field = onnx.helper.tensor_dtype_to_field(tensor.data_type)
    stored = len(tensor.raw_data) if tensor.HasField("raw_data") else len(getattr(tensor, field))
    if stored != (declared if tensor.HasField("raw_data") else elements):
        raise ValueError(f"the tensor {name!r} of {list(tensor.dims)} does not hold what it declares")
    return None


def _external_file(tensor: TensorProto, declared: int, folder: Path) -> str:
    """Raises ValueError unless the data is a part of a plain file that lies in the folder, under its own name."""
    name = tensor.name[:100]
    entries = {text(entry.key): text(entry.value) for entry in tensor.external_data}
    if len(entries) != len(tensor.external_data) or not entries.keys() <= EXTERNAL_KEYS or "location" not in entries:
        raise ValueError(f"the tensor {name!r} does not say properly where its data lies")
    location = entries["location"]
    # A bare name: no folders, so no way up, and none of the engines' own notations for places in memory.
    if location in ("", ".", "..") or not location.isprintable() or set(location) & set('/\\:*?"<>|'):
        raise ValueError(f"the tensor {name!r} has its data in {location[:100]!r}, not in a file beside the model")
    file = folder / location
    if file.is_symlink() or not file.is_file():
        raise ValueError(f"the tensor {name!r} has its data in {location[:100]!r}, which is no file beside the model")
    offset, length = (
        _number(entries.get(key, fallback)) for key, fallback in (("offset", "0"), ("length", str(declared)))
    )
    if offset is None or length != declared or offset + declared > file.stat().st_size:
        raise ValueError(f"the tensor {name!r} declares data that {location[:100]!r} does not hold")
    return location


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None


def check_inferred_sizes(model: ModelProto) -> None:
    """Raise ValueError where the file fixes the size of a computed tensor beyond MOST_TENSOR_BYTES.

    An engine may compute such a tensor already when it loads the file. The model's large tensors are emptied.
    """
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > LARGE_BYTES:
            # stands for data that is elsewhere, so that nothing is copied
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
    try:
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, data_prop=True)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        raise ValueError(f"the shapes in the file do not fit: {str(error)[:500]}") from error
    for name, data_type, shape in _values(inferred.graph):
        size = math.prod(shape) * ITEM_BYTES.get(data_type, 1)
        if size > MOST_TENSOR_BYTES:
            raise ValueError(
                f"the value {name[:100]!r} of {list(shape)} has {size} bytes; at most {MOST_TENSOR_BYTES} are taken"
            )


def _values(graph: GraphProto) -> Iterator[tuple[str, int, Sequence[int]]]:
    """Name, type and shape of each value whose size is known; sides that are not known count as 1."""
    for value in [*graph.value_info, *graph.output, *graph.input]:
        tensor = value.type.tensor_type
        yield value.name, tensor.elem_type, [max(1, side.dim_value) for side in tensor.shape.dim]
    for node in graph.node:
        for attribute in node.attribute:
            for nested in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                yield from _values(nested)


def text(value: str | bytes) -> str:
    """A string of a file, which protobuf hands over as bytes where it is no UTF-8: then raises ValueError."""
    if isinstance(value, bytes):
        raise ValueError(f"the file has text that is no UTF-8: {value[:100]!r}")
    return value


def type_name(data_type: int) -> str:
    """Of ONNX's types: FLOAT, STRING."""
    return TensorProto.DataType.Name(data_type) if data_type in TensorProto.DataType.values() else str(data_type)
