"""A tensor or picture that someone wrote out of their own code, read as data and checked."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deployments.imaging.decode import decode

SMALLEST_SIDE = 8
NPY_MAGIC = b"\x93NUMPY"


class UnusableDump(ValueError):
    """Not a tensor of one picture; the message says what is wrong."""


@dataclass(frozen=True)
class Dump:
    """One picture's numbers."""

    numbers: NDArray[np.float64]
    """[H, W, 3], in the channel order of the file."""
    is_picture: bool
    """Whether these are plain grey levels, uint8, so that mean, std and value range are not in them."""
    precision: float
    """The relative spacing of the file's numbers; 0 for integers."""
    kind: str
    """Type and layout, for people."""


def read_dump(path: Path, max_pixels: int) -> Dump:
    """Read a .npy file, or a picture.

    A .npy file holds uint8, float16, float32 or float64 of shape [3, H, W], [H, W, 3], or either with a leading 1. It
    is mapped, not unpickled, and its size is checked before a number is read. Raises UnusableDump, ImageError for a
    picture that cannot be read, OSError.
    """
    with path.open("rb") as file:
        is_npy = file.read(len(NPY_MAGIC)) == NPY_MAGIC
    if is_npy:
        return _from_array(_map(path), max_pixels)
    if path.suffix == ".npy":
        raise UnusableDump("this is not a .npy file, as numpy.save writes it")
    pixels = decode(path.read_bytes(), max_pixels)
    return _from_array(pixels, max_pixels)


def _map(path: Path) -> NDArray[np.generic]:
    try:
        with np.errstate(over="ignore"):  # of a shape that is refused
            array: NDArray[np.generic] = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # numpy's checks of a header raise many kinds
        raise UnusableDump(
            "the .npy file is truncated or corrupt, states a shape that its bytes do not fill, or holds Python objects"
        ) from error
    return array


def _from_array(array: NDArray[np.generic], max_pixels: int) -> Dump:
    if array.dtype != np.uint8 and (array.dtype.kind != "f" or array.dtype.itemsize not in (2, 4, 8)):
        raise UnusableDump(f"the numbers are {array.dtype}; float32, float16, float64 or uint8 is read here")
    if array.size > 3 * max_pixels:
        raise UnusableDump(f"the tensor has shape {list(array.shape)}; the limit is {max_pixels} pixels")
    kind = f"{array.dtype.name} {list(array.shape)}"
    numbers = _picture(array)
    if min(numbers.shape[:2]) < SMALLEST_SIDE:
        raise UnusableDump(f"the tensor has shape {list(array.shape)}; each side must have {SMALLEST_SIDE} pixels")
    values = numbers.astype(np.float64)
    if not np.isfinite(values).all():
        raise UnusableDump("the tensor holds NaN or infinite numbers")
    is_picture = array.dtype == np.uint8
    precision = 0.0 if is_picture else float(np.finfo(array.dtype.name).eps)
    return Dump(values, is_picture, precision, kind)


def _picture(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Any of the layouts to [H, W, 3]."""
    shape = list(array.shape)
    if array.ndim == 4 and shape[0] == 1:
        array = array[0]
    elif array.ndim == 4:
        raise UnusableDump(f"the tensor has shape {shape}, a batch of {shape[0]}; write one picture of it, tensor[0]")
    if array.ndim == 3 and array.shape[0] == 3:
        return np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[-1] == 3:
        return array
    raise UnusableDump(f"the tensor has shape {shape}; [3, H, W] or [H, W, 3] is read here, also with a leading 1")
