"""The tensors of torch's files, in its present format (a zip archive) and the one before version 1.6."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from deployments.models.checkpoints.pickle_data import (
    Name,
    PersistentId,
    Pickle,
    called,
    items_of,
    read_pickle,
    sizes_of,
)

MAGIC = 0x1950A86A20F9469CFC6C
"""The first pickle in a file of the old format."""
STORAGES = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
Weights = tuple[dict[str, Tensor], tuple[str, ...]]
"""Tensors by name, and class names where a checkpoint of mmdetection states them."""


def read_zip(path: Path) -> Weights:
    """Read the present format. Raises ValueError, KeyError or zipfile.BadZipFile where it is damaged."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename.partition("/")[2]: entry for entry in archive.infolist()}
        size = path.stat().st_size
        if any(e.header_offset < 0 for e in entries.values()):
            raise ValueError("its list of entries is damaged")
        if any(e.compress_type != zipfile.ZIP_STORED or e.file_size > size for e in entries.values()):
            raise ValueError("it has compressed entries, which torch never writes")
        if "data.pkl" not in entries:
            raise ValueError("it is a zip archive without torch's data.pkl")
        if "byteorder" in entries and archive.read(entries["byteorder"]) != b"little":
            raise ValueError("its tensors are big-endian")
        with archive.open(entries["data.pkl"]) as stream:
            pickle = read_pickle(stream)
        return _weights(pickle.value, lambda key: archive.read(entries[f"data/{key}"]))


def read_legacy(stream: IO[bytes]) -> Weights:
    """Read the old format from after its magic number. Raises ValueError or KeyError where it is damaged."""
    read_pickle(stream)  # the format's version, always the same
    if items_of(read_pickle(stream).value).get("little_endian") is not True:
        raise ValueError("its tensors are big-endian")
    pickle = read_pickle(stream)
    return _weights(pickle.value, _legacy_storages(pickle, stream).__getitem__)


def _legacy_storages(pickle: Pickle, stream: IO[bytes]) -> dict[str, bytes]:
    """Storages follow the pickle in the order of a list of their keys, each after its count of elements."""
    itemsizes = {key: dtype.itemsize for dtype, key in map(_storage, pickle.persistent)}
    storages = {}
    for key in read_pickle(stream).value:
        count = int.from_bytes(stream.read(8), "little")
        storages[key] = stream.read(min(count, 2**48) * itemsizes[key])
    return storages


def _weights(value: Any, stored: Callable[[str], bytes]) -> Weights:
    top = items_of(value)
    entries = next((items_of(top[key]) for key in ("state_dict", "model") if items_of(top.get(key))), top)
    flat: dict[str, Tensor] = {}
    tensors = {}
    for key, entry in entries.items():
        if (tensor := _tensor(entry, stored, flat)) is not None:
            # which DistributedDataParallel puts before every key
            tensors[str(key).removeprefix("module.")] = tensor
    meta = items_of(top.get("meta"))
    labels = meta.get("CLASSES") or items_of(meta.get("dataset_meta")).get("classes")
    if not isinstance(labels, list | tuple) or not all(isinstance(label, str) for label in labels):
        labels = ()
    return tensors, tuple(labels)


def _storage(reference: PersistentId) -> tuple[torch.dtype, str]:
    match reference.id:
        case ("storage", Name(path), str(key), *_) if path in STORAGES:
            return STORAGES[path], key
    raise ValueError("a tensor's storage is of an unknown kind")


def _tensor(value: Any, stored: Callable[[str], bytes], flat: dict[str, Tensor]) -> Tensor | None:
    """A contiguous tensor of its own memory; None where the value is no tensor. flat: bytes of storages met before."""
    if called(value) == "torch._utils._rebuild_parameter":
        value = value.arguments[0]
    if called(value) not in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"):
        return None
    reference, offset, *shape_and_strides = value.arguments[:4]
    if not isinstance(reference, PersistentId):
        raise ValueError("a tensor has no storage")
    shape, strides = map(sizes_of, shape_and_strides)
    (offset,) = sizes_of((offset,))
    dtype, key = _storage(reference)
    if 0 in shape:
        return torch.empty(shape, dtype=dtype)
    if key not in flat:
        flat[key] = torch.from_numpy(np.frombuffer(bytearray(stored(key)), np.uint8))
    elements = flat[key].numel() // dtype.itemsize
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    # the first bound refuses views that repeat elements, with which a small file could fill the memory
    if torch.Size(shape).numel() > elements or last >= elements:
        raise ValueError("a tensor is larger than its storage")
    whole = flat[key][: elements * dtype.itemsize].view(dtype)
    return whole.as_strided(shape, strides, offset).clone(memory_format=torch.contiguous_format)
