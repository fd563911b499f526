"""Archives of ``torch.export.save`` (.pt2), read as data.

``torch.export.load`` unpickles parts of an archive, evaluates its symbolic sizes and guards as Python, and writes its
names into source code that it then runs: a hostile file owns the machine. Here the graph is JSON and the tensors are
raw bytes, and nothing else of the archive is looked at.
"""

import json
import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deployments.models.checkpoints.pickle_data import sizes_of

SCHEMA_VERSION = 8
"""Of the graph's JSON; torch raises it when older readers would go wrong."""
DTYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}
"""The numbers that the schema gives them."""
STRIDED = 7
"""The schema's number of the usual layout of tensors."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Archive:
    """graph, signature, ranges, guards: as torch's schema has them; output_tree: how outputs nest; tensors by name."""

    graph: Json
    signature: Json
    ranges: Json
    guards: list[str]
    output_tree: Json | None
    weights: dict[str, Tensor]
    constants: dict[str, Tensor]


def read_archive(path: Path) -> Archive:
    """Read the program of an archive that holds one. No code of the file is run.

    Raises ValueError where it is damaged, of another version, or holds pickled or compiled parts that its program
    needs; OSError where it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, path.stat().st_size)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path.name} is damaged: {error}") from error
    except (ValueError, TypeError, LookupError, AttributeError, RuntimeError, RecursionError, MemoryError) as error:
        raise ValueError(f"{path.name} cannot be read: {error or type(error).__name__}") from error


def _read(archive: zipfile.ZipFile, size: int) -> Archive:
    entries = {entry.filename.partition("/")[2]: entry for entry in archive.infolist()}
    if any(e.compress_type != zipfile.ZIP_STORED or e.file_size > size for e in entries.values()):
        raise ValueError("it has compressed entries, which torch never writes")
    if "models/model.json" not in entries:
        raise ValueError("it holds no program of torch.export.save, or one from before torch 2.8")

    def read(name: str) -> bytes:
        return archive.read(entries[name])

    if "byteorder" in entries and read("byteorder") != b"little":
        raise ValueError("its tensors are big-endian")
    program: Json = json.loads(read("models/model.json"))
    version = program["schema_version"]["major"]
    if version != SCHEMA_VERSION:
        raise ValueError(f"its schema is of version {version}, not {SCHEMA_VERSION}")
    module: Json = program["graph_module"]
    weights, constants = (
        _tensors(json.loads(read(f"data/{kind}/model_{kind}_config.json"))["config"], f"data/{kind}/", read)
        for kind in ("weights", "constants")
    )
    ranges, guards = program["range_constraints"], program.get("guards_code", [])
    return Archive(module["graph"], module["signature"], ranges, guards, _output_tree(module), weights, constants)


def _output_tree(module: Json) -> Json | None:
    """Of the program itself, which comes first among its modules; None where it is not of the first form."""
    calls = [call["signature"] for call in module["module_call_graph"] if call["fqn"] == ""]
    if not calls or calls[0] is None:
        return None
    version, tree = json.loads(calls[0]["out_spec"])
    return tree if version == 1 else None


def _tensors(config: Mapping[str, Json], folder: str, read: Callable[[str], bytes]) -> dict[str, Tensor]:
    payloads: dict[str, Tensor] = {}
    tensors = {}
    for name, entry in config.items():
        if entry["use_pickle"]:
            raise ValueError(f"{name[:100]} is pickled, which could run code")
        path = entry["path_name"]
        if path not in payloads:
            data = bytearray(read(folder + path))
            payloads[path] = torch.frombuffer(data, dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)
        tensors[name] = _tensor(payloads[path], entry["tensor_meta"])
    return tensors


def _tensor(payload: Tensor, meta: Json) -> Tensor:
    """payload: bytes, uint8 [n]."""
    shape, strides = (sizes_of(tuple(size["as_int"] for size in meta[key])) for key in ("sizes", "strides"))
    (offset,) = sizes_of((meta["storage_offset"]["as_int"],))
    if meta["dtype"] not in DTYPES or meta["layout"] != STRIDED:
        raise ValueError("a tensor of an unknown kind")
    dtype = DTYPES[meta["dtype"]]
    if 0 in shape:
        return torch.empty(shape, dtype=dtype)
    elements = len(payload) // dtype.itemsize
    # this refuses views that repeat elements, with which a small file could fill the memory of a device
    if math.prod(shape) > elements:
        raise ValueError("a tensor is larger than its bytes")
    whole = payload[: elements * dtype.itemsize].view(dtype)
    return whole.as_strided(shape, strides, offset)
