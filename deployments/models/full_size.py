"""Masks of the original size, as the places where they begin and end: a thousandth of their pixels.

A column of a mask is linear between the rows of the smaller one that it comes from, so where it crosses the threshold
follows from the two rows beside, and no pixel is computed.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

VALUES_AT_ONCE = {"cpu": 2**19, "cuda": 2**24}
"""Of interpolated columns, several masks': what stays in a processor's cache; what a GPU has room for."""


class Neighbours(NamedTuple):
    """The two inputs that each output lies between, low and high (int64), and the weight of high (float32)."""

    low: Tensor
    high: Tensor
    weight: Tensor


def neighbours(inputs: int, outputs: int, device: torch.device | None = None) -> Neighbours:
    """Of each of ``outputs`` positions over as many ``inputs``, with half-pixel centres."""
    position = ((torch.arange(outputs, device=device) + 0.5) * (inputs / outputs) - 0.5).clamp(min=0)
    low = position.long()
    return Neighbours(low, (low + 1).clamp(max=inputs - 1), position - low)


def changes(columns: Tensor, original: tuple[int, int], threshold: float) -> tuple[Tensor, Tensor]:
    """Where masks differ from the pixel before, once resized to the original size and compared with the threshold.

    columns: probabilities, float32 [K, w, h], column by column; resized bilinearly, with half-pixel centres, to
    ``original``, height and width. Returns places, int32 [T], of all masks one after the other, column-major, ascending
    within a mask; and int64 [K], how many each mask has. A place may be there several times: an even number of changes
    is none. One past the last pixel may be there too.
    """
    low, high, weight = neighbours(columns.shape[1], original[1], columns.device)
    at_once = max(1, VALUES_AT_ONCE[columns.device.type] // (columns.shape[2] * original[1]))
    places, counts = [columns.new_zeros(0, dtype=torch.int32)], [columns.new_zeros(0, dtype=torch.int64)]
    for some in torch.split(columns, at_once) if len(columns) else ():
        lines = torch.lerp(some.index_select(1, low), some.index_select(1, high), weight[:, None])
        found = _differing(lines.flatten(1), threshold)
        places.append(_outputs(lines.flatten(), found, lines.shape[1:], original[0], threshold).int())
        counts.append(torch.bincount(found // lines[0].numel(), minlength=len(some)))
    return torch.cat(places), torch.cat(counts)


def _differing(lines: Tensor, threshold: float) -> Tensor:
    """Where values [K, N] lie on another side of the threshold than the value before, into [K * N], ascending.

    Before the first of each K there is one below.
    """
    if lines.device.type != "cpu":
        inside = lines > threshold
        return (inside ^ F.pad(inside[:, :-1], (1, 0))).flatten().nonzero()[:, 0]
    # On the CPU torch compares and counts six times as slowly as numpy.
    above = lines.numpy() > threshold
    changed = above.copy()
    np.not_equal(above[:, 1:], above[:, :-1], out=changed[:, 1:])
    return torch.from_numpy(np.flatnonzero(changed))


def _outputs(lines: Tensor, found: Tensor, shape: torch.Size, height: int, threshold: float) -> Tensor:
    """The first output at or after each crossing, column-major within its mask: int64.

    lines: [K * columns * rows]; found: into them, each on another side than the one before; shape: columns and rows;
    height: how many outputs a column has.
    """
    rows = shape[1]
    row = found % rows
    here, before = lines[found].double(), lines[(found - 1).clamp(min=0)].double()
    position = row - 0.5 + (threshold - before) / (here - before)  # of the crossing, from the upper edge of row 0
    output = position * (height / rows) - 0.5
    # What is on the threshold is outside.
    output = torch.where(here > threshold, output.floor() + 1, output.ceil()).clamp(0, height)
    # A column that begins otherwise than the one before it has ended.
    output = torch.where(row == 0, 0, output)
    column = found % shape.numel() // rows
    return column * height + output.long()
