"""Tensors by name out of the files that frameworks write, without running code from them."""

import mmap
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal, cast

from safetensors import SafetensorError, safe_open
from torch import Tensor

from deployments.models.checkpoints import torch_files
from deployments.models.checkpoints.paddle_files import paddle_tensors
from deployments.models.checkpoints.pickle_data import read_pickle


@dataclass(frozen=True, slots=True)
class TensorFile:
    """tensors: on the CPU, by name; labels: class names, if the file has any; metadata: of a safetensors file."""

    form: Literal["safetensors", "torch", "paddle"]
    tensors: dict[str, Tensor]
    labels: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_tensor_file(path: Path) -> TensorFile:
    """Read safetensors, torch's .pth (either format) or Paddle's .pdparams; the content decides, not the suffix.

    Of a training checkpoint, only the model's weights are read. Raises ValueError where the file is none of these, is
    damaged, or claims more than it holds; OSError where it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(9)
    try:
        if start.startswith(b"PK\x03\x04"):
            return TensorFile("torch", *torch_files.read_zip(path))
        if start[8:] == b"{":
            return _read_safetensors(path)
        if start.startswith(b"\x80"):
            return _read_pickles(path)
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise ValueError(f"{path.name} cannot be read: {error or type(error).__name__}") from error
    except (SafetensorError, zipfile.BadZipFile, EOFError, RuntimeError, MemoryError) as error:
        raise ValueError(f"{path.name} is damaged: {error or type(error).__name__}") from error
    raise ValueError(f"{path.name} is neither a safetensors nor a torch nor a Paddle file")


def _read_safetensors(path: Path) -> TensorFile:
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return TensorFile("safetensors", tensors, metadata=file.metadata() or {})


def _read_pickles(path: Path) -> TensorFile:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        # a map's read stops at the end of the file, where a file's would first allocate all that the pickle claims
        stream = cast(IO[bytes], view)
        first = read_pickle(stream).value
        if isinstance(first, int) and first == torch_files.MAGIC:
            return TensorFile("torch", *torch_files.read_legacy(stream))
        return TensorFile("paddle", paddle_tensors(first))
