"""Binary masks as COCO run-length encoding, and the other forms made from it."""

from math import ceil
from typing import TypedDict

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from deployments.results import RLE, Box

MAX_MASK_PIXELS = 2**28
_LONGEST_COUNT = 7  # characters of 5 bits; enough for any 32-bit run

Ring = list[list[int]]


class Polygon(TypedDict):
    """One 4-connected part of a mask, outlined along pixel edges.

    A ring is a list of corners [x, y], not closed by a repeated first point, whose sides are horizontal or vertical.
    Coordinates are those of pixel edges: pixel (row y, column x) covers the square from [x, y] to [x + 1, y + 1]. So
    the pixels whose centres lie inside the exterior and in no hole are exactly the part's pixels, and a part one pixel
    wide still has an area. Exteriors run clockwise on the screen, holes counter-clockwise; a ring may touch itself or
    another at a corner, but never crosses.
    """

    exterior: Ring
    holes: list[Ring]


def encode_rle(mask: NDArray[np.bool_] | NDArray[np.uint8]) -> RLE:
    """Encode a mask [H, W], bool or uint8 (anything but 0 is foreground)."""
    if mask.ndim != 2 or mask.size == 0:
        raise ValueError(f"a mask is a non-empty [H, W] array, not of shape {list(mask.shape)}")
    encoded = coco.encode(np.asfortranarray(mask.astype(bool, copy=False)).view(np.uint8))
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode("ascii")}


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
    if rle_area(rle) == 0:
        return Box(0.0, 0.0, 0.0, 0.0)
    left, top, width, height = (float(value) for value in coco.toBbox(rle))
    return Box(left, top, left + width, top + height)


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


def to_png(rle: RLE) -> bytes:
    """An 8-bit grey PNG of the mask's size: 255 inside, 0 outside. Raises ValueError as ``decode_rle``."""
    _, data = cv2.imencode(".png", decode_rle(rle).astype(np.uint8) * 255)
    return data.tobytes()


def to_polygons(rle: RLE) -> list[Polygon]:
    """Outline the mask exactly, a polygon for each 4-connected part. Raises ValueError as ``decode_rle``."""
    mask = decode_rle(rle)
    edges = _horizontal_edges(mask)
    if len(edges) == 0:
        return []
    count, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    polygons: list[Polygon] = [{"exterior": [], "holes": []} for _ in range(count - 1)]
    for ring in _rings(_following_edges(edges, _vertical_edges(mask), mask.shape[1] + 1)):
        y, start, end = edges[ring].T
        part = polygons[parts[y[0] if start[0] < end[0] else y[0] - 1, min(start[0], end[0])] - 1]
        points = np.stack([start, y, end, y], axis=1).reshape(-1, 2).tolist()
        # Twice the signed area, by the trapezoids above the horizontal edges: exteriors run clockwise on the screen.
        if int((y * (start - end)).sum()) > 0:
            part["exterior"] = points
        else:
            part["holes"].append(points)
    return polygons


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


def _horizontal_edges(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Maximal horizontal borders of the mask as rows [y, x from, x to], directed with the mask on the right."""
    inside = np.pad(mask, 1).astype(np.int8)
    border = np.diff(inside, axis=0)[:, 1:-1]  # +1: mask below, run eastwards; -1: mask above, run westwards
    padded = np.pad(border, ((0, 0), (1, 1)))
    change = np.diff(padded, axis=1) != 0
    y, start = np.nonzero(change & (padded[:, 1:] != 0))
    _, end = np.nonzero(change & (padded[:, :-1] != 0))
    eastwards = border[y, start] > 0
    return np.stack([y, np.where(eastwards, start, end), np.where(eastwards, end, start)], axis=1)


def _vertical_edges(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Maximal vertical borders of the mask as rows [x, y from, y to], directed with the mask on the right."""
    edges = _horizontal_edges(mask.T)
    return edges[:, [0, 2, 1]]  # the transposition mirrors right and left


def _following_edges(horizontal: NDArray[np.int64], vertical: NDArray[np.int64], columns: int) -> list[int]:
    """For each horizontal edge, the index of the horizontal edge that its outline takes next.

    Where two mask pixels touch only at a corner, four edges meet; a turn to the right keeps their outlines apart.
    """

    def follow(
        arriving: NDArray[np.int64],
        right_turn: NDArray[np.bool_],
        leaving: NDArray[np.int64],
        forward: NDArray[np.bool_],
    ) -> NDArray[np.int64]:
        keys = leaving * 2 + forward
        order = np.argsort(keys)
        wanted = arriving * 2 + right_turn
        found = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
        left_turn = keys[order][found] != wanted
        found[left_turn] = np.searchsorted(keys[order], wanted[left_turn] ^ 1)
        return order[found]

    y, x_from, x_to = horizontal.T
    x, y_from, y_to = vertical.T
    eastwards, southwards = x_to > x_from, y_to > y_from
    down = follow(y * columns + x_to, eastwards, y_from * columns + x, southwards)
    across = follow(y_to * columns + x, ~southwards, y * columns + x_from, eastwards)
    following: list[int] = across[down].tolist()
    return following


def _rings(following: list[int]) -> list[list[int]]:
    """The cycles of a permutation."""
    rings: list[list[int]] = []
    seen = bytearray(len(following))
    for first in range(len(following)):
        ring = []
        edge = first
        while not seen[edge]:
            seen[edge] = 1
            ring.append(edge)
            edge = following[edge]
        if ring:
            rings.append(ring)
    return rings
