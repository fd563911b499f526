"""The tensors of PaddlePaddle's .pdparams: a pickled dictionary of numpy arrays."""

from math import prod
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from deployments.models.checkpoints.pickle_data import Call, called, items_of, sizes_of

ARRAY_TYPES = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1"})
BY_STATE = frozenset({"numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"})
BY_BUFFER = frozenset({"numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer"})


def paddle_tensors(value: Any) -> dict[str, Tensor]:
    """Tensors of a pickle's value, by name.

    An entry is an array or a pair of a parameter's own name and its array; what is neither is left out, such as the
    table ``StructuredToParameterName@@``. Raises ValueError where an array is malformed or of an unknown type.
    """
    tensors = {}
    for key, entry in items_of(value).items():
        if called(entry) == "builtins.tuple":
            (entry,) = entry.arguments
        if isinstance(entry, tuple) and len(entry) == 2:
            entry = entry[1]
        if (tensor := _array(entry)) is not None:
            tensors[str(key)] = tensor
    return tensors


def _array(value: Any) -> Tensor | None:
    """The tensor of a pickled numpy array: made by its state, or by its buffer (pickle protocol 5)."""
    if called(value) in BY_STATE and value.state is not None:
        _, shape, dtype, fortran, data = value.state
        columns_first = fortran is True
    elif called(value) in BY_BUFFER:
        data, dtype, shape, order = value.arguments
        columns_first = order == "F"
    else:
        return None
    if called(data) == "_codecs.encode":  # how Python 3 writes bytes in pickle protocol 2
        data = data.arguments[0]
    if isinstance(data, str):
        data = data.encode("latin-1")
    kind = _array_type(dtype)
    if not isinstance(data, bytes | bytearray) or prod(sizes_of(shape)) * kind.itemsize != len(data):
        raise ValueError("an array's shape and bytes disagree")
    layout: Literal["C", "F"] = "F" if columns_first else "C"
    array = np.frombuffer(data, kind).reshape(shape, order=layout)
    return torch.from_numpy(array.astype(kind.newbyteorder("="), order="C"))


def _array_type(dtype: Any) -> "np.dtype[Any]":
    match dtype:
        case Call(arguments=(str(code), *_), state=(_, "<" | ">" | "|" as order, *_)) if code in ARRAY_TYPES:
            if called(dtype) == "numpy.dtype":
                kind: np.dtype[Any] = np.dtype(order + code)
                return kind
    raise ValueError("an array is of an unknown type")
