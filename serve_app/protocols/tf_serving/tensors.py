"""TensorFlow's TensorProto from and to NumPy, as ``tf.make_ndarray`` and ``tf.make_tensor_proto`` do it."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from serve_app.analysis import EncodedImage
from serve_app.limits import Limits
from serve_app.protocols.pixels import check_batch_shape, from_floats
from serve_app.protocols.served_models import TensorSpec
from serve_app.protocols.tf_serving.protos.tensorflow_pb2 import DataType, TensorInfo, TensorProto, TensorShapeProto

MAX_RANK = 8
IMAGE_TYPES = ("DT_STRING", "DT_UINT8", "DT_FLOAT")
VALUES: Mapping[str, str] = {
    "DT_FLOAT": "float_val",
    "DT_INT32": "int_val",
    "DT_UINT8": "int_val",
    "DT_STRING": "string_val",
}
NUMPY: Mapping[str, str] = {"DT_FLOAT": "<f4", "DT_INT32": "<i4", "DT_UINT8": "u1"}


def read_images(tensor: TensorProto, limits: Limits) -> list[EncodedImage | NDArray[np.uint8]]:
    """Images from DT_STRING files [N], DT_UINT8 [N, H, W, 3], or DT_FLOAT [N, H, W, 3] in 0 to 255.

    Raises ValueError for another type or shape, for values that do not fill the shape, and for what is over the limits.
    """
    dtype, shape = type_name(tensor), shape_of(tensor)
    if dtype not in IMAGE_TYPES:
        raise ValueError(
            f"the dtype must be DT_STRING (files) or, for pixels [N, H, W, 3] from 0 to 255, DT_UINT8 or DT_FLOAT; "
            f"it is {dtype}"
        )
    if dtype == "DT_STRING":
        if len(shape) != 1 or not 1 <= shape[0] <= limits.max_images:
            raise ValueError(
                f"the shape of DT_STRING files must be [N] with N from 1 to {limits.max_images}, not {shape}"
            )
        return [EncodedImage(data) for data in read_strings(tensor)]
    check_batch_shape(shape, limits)
    batch = read_numbers(tensor, limits.max_body_bytes)
    if dtype == "DT_FLOAT":
        return [from_floats(pixels) for pixels in batch]
    return [pixels.copy() for pixels in batch]


def read_option(tensor: TensorProto, spec: TensorSpec) -> float | int | list[str]:
    """An option's value: a number from a scalar (or one element), labels from strings. Raises ValueError."""
    dtype, shape = type_name(tensor), shape_of(tensor)
    if dtype != spec.dtype:
        raise ValueError(f"the dtype must be {spec.dtype}, not {dtype}")
    if len(shape) > 1 or (len(shape) == 1 and not spec.shape and shape != [1]):
        raise ValueError(f"the shape must be {list(spec.shape)}, not {shape}")
    if dtype == "DT_STRING":
        try:
            return [label.decode("utf-8") for label in read_strings(tensor)]
        except UnicodeDecodeError:
            raise ValueError("the strings are not UTF-8") from None
    value: float | int = read_numbers(tensor, max_bytes=8).item()
    return value


def read_strings(tensor: TensorProto) -> list[bytes]:
    """The elements of a DT_STRING tensor. Raises ValueError unless there are exactly as many as its shape says."""
    shape = shape_of(tensor)
    if tensor.tensor_content or len(tensor.string_val) != prod(shape):
        raise ValueError(
            f"the shape {shape} needs {prod(shape)} strings in string_val; there are {len(tensor.string_val)}"
        )
    return list(tensor.string_val)


def read_numbers(tensor: TensorProto, max_bytes: int) -> NDArray[Any]:
    """A DT_FLOAT, DT_INT32 or DT_UINT8 tensor, read-only; fewer values than elements repeat the last one to the end.

    Raises ValueError for more than ``max_bytes``, before they are allocated, and where the values do not fit the shape.
    """
    dtype, shape = type_name(tensor), shape_of(tensor)
    kind, size = np.dtype(NUMPY[dtype]), prod(shape)
    if size * kind.itemsize > max_bytes:
        raise ValueError(f"the shape {shape} takes {size * kind.itemsize} bytes; the limit is {max_bytes}")
    if tensor.tensor_content:
        if len(tensor.tensor_content) != size * kind.itemsize:
            raise ValueError(
                f"the shape {shape} needs {size * kind.itemsize} bytes in tensor_content; "
                f"there are {len(tensor.tensor_content)}"
            )
        return np.frombuffer(tensor.tensor_content, kind).reshape(shape)
    field = VALUES[dtype]
    values = getattr(tensor, field)
    if not 1 <= len(values) <= size:
        raise ValueError(f"the shape {shape} needs {size} values in tensor_content or {field}; there are {len(values)}")
    wide = np.array(values)
    if dtype == "DT_UINT8" and not (wide.min() >= 0 and wide.max() <= 255):
        raise ValueError(f"DT_UINT8 values must be from 0 to 255, not from {wide.min()} to {wide.max()}")
    filled = np.full(size, wide[-1], kind)
    filled[: len(wide)] = wide
    return filled.reshape(shape)


def write_tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, TensorProto]:
    """Each array as ``write_tensor`` does."""
    return {name: write_tensor(array) for name, array in arrays.items()}


def write_tensor(array: NDArray[Any]) -> TensorProto:
    """A float32 or int32 array as it is; an object array as DT_STRING: bytes, str as UTF-8, other values as JSON."""
    shape = shape_proto(array.shape)
    if array.dtype == np.object_:
        return TensorProto(dtype="DT_STRING", tensor_shape=shape, string_val=map(_string, array.flat))
    dtype = {"f": "DT_FLOAT", "i": "DT_INT32"}[array.dtype.kind]
    return TensorProto(dtype=dtype, tensor_shape=shape, tensor_content=array.astype(NUMPY[dtype]).tobytes())


def tensor_info(name: str, spec: TensorSpec) -> TensorInfo:
    """A signature's entry."""
    return TensorInfo(name=f"{name}:0", dtype=spec.dtype, tensor_shape=shape_proto(spec.shape))


def shape_proto(shape: tuple[int, ...]) -> TensorShapeProto:
    """Sizes as a message; -1 is a size that varies."""
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in shape])


def shape_of(tensor: TensorProto) -> list[int]:
    """The sizes. Raises ValueError for an unknown rank, negative sizes and more than MAX_RANK of them."""
    dims = tensor.tensor_shape.dim
    if tensor.tensor_shape.unknown_rank or len(dims) > MAX_RANK:
        raise ValueError(f"the shape must have a known rank of at most {MAX_RANK}")
    shape = [dim.size for dim in dims]
    if any(size < 0 for size in shape):
        raise ValueError(f"the shape {shape} has a negative size")
    return shape


def type_name(tensor: TensorProto) -> str:
    """``DT_FLOAT`` and the like; the number of a type that is not known here."""
    known = DataType.DESCRIPTOR.values_by_number
    return str(known[tensor.dtype].name) if tensor.dtype in known else str(tensor.dtype)


def _string(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8")
    return b"" if value is None else orjson.dumps(value)
