"""Reads COCO's compressed run-length encoding of a mask, with numpy alone."""

from math import ceil

import numpy as np
from numpy.typing import NDArray

from deployments.results import RLE, Box

MAX_MASK_PIXELS = 2**28
_LONGEST_COUNT = 7  # characters of 5 bits; enough for any 32-bit run


def decode_rle(rle: RLE) -> NDArray[np.bool_]:
    """Decode to bool [H, W]. Raises ValueError where counts and size do not fit, so it may be given untrusted RLE."""
    runs = _run_lengths(rle)
    height, width = rle["size"]
    column_major = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.ascontiguousarray(column_major.reshape(width, height).T)


def rle_area(rle: RLE) -> int:
    """Number of mask pixels. Raises ValueError as ``decode_rle``."""
    return int(_run_lengths(rle)[1::2].sum())


def rle_box(rle: RLE) -> Box:
    """The mask's extent; an empty box at the origin for an empty mask. Raises ValueError as ``decode_rle``."""
    runs = _run_lengths(rle)
    positions = np.concatenate([[0], np.cumsum(runs)])
    drawn = runs[1::2] > 0
    first, last = positions[1:-1:2][drawn], positions[2::2][drawn] - 1
    if len(first) == 0:
        return Box(0.0, 0.0, 0.0, 0.0)
    height = rle["size"][0]
    (left, top), (right, bottom) = divmod(first, height), divmod(last, height)
    # A run that goes on into the next column holds the lowest pixel of its first and the highest of its last.
    whole = bool((left != right).any())
    top_row, bottom_row = (0, height - 1) if whole else (top.min(), bottom.max())
    return Box(float(left[0]), float(top_row), float(right[-1] + 1), float(bottom_row + 1))


def rle_box_intersection(rle: RLE, box: Box) -> int:
    """Number of mask pixels whose centres lie in ``box``, without decoding. Raises ValueError as ``decode_rle``."""
    runs = _run_lengths(rle)
    height, width = rle["size"]
    left, right = (min(max(ceil(x - 0.5), 0), width) for x in (box.left, box.right))
    top, bottom = (min(max(ceil(y - 0.5), 0), height) for y in (box.top, box.bottom))
    if left >= right or top >= bottom:
        return 0
    # The number of mask pixels before a column-major position grows linearly within a run.
    positions = np.concatenate([[0], np.cumsum(runs)])
    mask_pixels = np.concatenate([[0], np.cumsum(np.where(np.arange(len(runs)) % 2 == 1, runs, 0))])
    columns = np.arange(left, right) * height
    inside = np.interp(columns + bottom, positions, mask_pixels) - np.interp(columns + top, positions, mask_pixels)
    return round(float(inside.sum()))


def _run_lengths(rle: RLE) -> NDArray[np.int64]:
    """The runs of COCO's compressed counts, background first; ValueError unless they fill the stated size exactly.

    pycocotools reads past the end of malformed counts, hence a reader of our own.
    """
    size, counts = rle["size"], rle["counts"]
    if len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        raise ValueError("RLE size is not [height, width] of positive integers")
    if size[0] * size[1] > MAX_MASK_PIXELS:
        raise ValueError(f"RLE size {size[0]}x{size[1]} is over {MAX_MASK_PIXELS} pixels")
    characters = np.frombuffer(counts.encode("utf-8"), np.uint8).astype(np.int64) - 48
    if len(characters) == 0 or characters.min() < 0 or characters.max() > 63 or characters[-1] & 0x20:
        raise ValueError("RLE counts is not COCO's compressed form")
    ends = np.flatnonzero(characters & 0x20 == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _LONGEST_COUNT:
        raise ValueError("RLE counts holds a run that is too long")
    place = np.arange(len(characters)) - np.repeat(starts, lengths)
    runs = np.add.reduceat((characters & 0x1F) << (5 * place), starts)
    runs -= np.where(characters[ends] & 0x10, 1 << (5 * lengths), 0)
    # From the fourth on, each is stored as the difference from the one two before.
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    if runs.min() < 0 or runs.max() > MAX_MASK_PIXELS or int(runs.sum()) != size[0] * size[1]:
        raise ValueError(f"RLE counts do not fill the size {size[0]}x{size[1]}")
    return runs
