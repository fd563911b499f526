"""Masks from a quarter of the network's input to every pixel of the original picture."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from deployments.models.solov2.network import resize_bilinear

STRIDE = 4
"""Input pixels per mask pixel."""
ROUNDING = 1e-3
"""A weighted mean of values this far below the threshold cannot round to above it."""
COLUMNS_AT_ONCE = 64
"""Few enough that their floats stay in the processor's cache."""


class Neighbours(NamedTuple):
    """The two inputs that each output lies between, low and high (int64), and the weight of high (float32)."""

    low: Tensor
    high: Tensor
    weight: Tensor


def full_size_masks(
    soft: Tensor, resized: tuple[int, int], original: tuple[int, int], threshold: float
) -> Iterator[Tensor]:
    """Upsample probabilities [K, h, w] by STRIDE, cut the padding off, resize to the original size, and threshold.

    Both steps are bilinear with half-pixel centres. Yields bool [H, W] one by one, column-major as run lengths are.
    """
    for mask in soft:
        input_size = (mask.shape[0] * STRIDE, mask.shape[1] * STRIDE)
        whole = resize_bilinear(mask[None, None], input_size)[0, 0, : resized[0], : resized[1]]
        yield enlarge(whole, original, threshold)


def enlarge(whole: Tensor, original: tuple[int, int], threshold: float) -> Tensor:
    """Resize probabilities [h, w] to the original size and threshold: bool [H, W], column-major.

    Only a few columns are held as floats at a time, and only where a mask can be: outside of the rows and columns that
    have a probability above the threshold, no mean of neighbours is above it.
    """
    height, width = original
    rows, columns = neighbours(whole.shape[0], height), neighbours(whole.shape[1], width)
    possible = whole > threshold - ROUNDING
    top, bottom = reached(possible.any(dim=1), rows)
    left, right = reached(possible.any(dim=0), columns)
    lines = between(whole, rows, slice(top, bottom)).T.contiguous()
    full = torch.zeros(width, height, dtype=torch.bool)
    for x in range(left, right, COLUMNS_AT_ONCE):
        part = slice(x, min(x + COLUMNS_AT_ONCE, right))
        torch.gt(between(lines, columns, part), threshold, out=full[part, top:bottom])
    return full.T


def neighbours(inputs: int, outputs: int, device: torch.device | None = None) -> Neighbours:
    """Of each of ``outputs`` positions over as many ``inputs``, with half-pixel centres."""
    position = ((torch.arange(outputs, device=device) + 0.5) * (inputs / outputs) - 0.5).clamp(min=0)
    low = position.long()
    return Neighbours(low, (low + 1).clamp(max=inputs - 1), position - low)


def between(inputs: Tensor, outputs: Neighbours, part: slice) -> Tensor:
    """Some of the ``outputs`` along the first axis of float [inputs, N], linearly interpolated."""
    low, high, weight = (each[part] for each in outputs)
    return torch.lerp(inputs[low], inputs[high], weight[:, None])


def reached(possible: Tensor, outputs: Neighbours) -> tuple[int, int]:
    """First output, and one past the last, that lies beside a possible input; ``possible``: bool [inputs]."""
    inputs = possible.nonzero()
    if not len(inputs):
        return 0, 0
    first = torch.searchsorted(outputs.high, inputs[0])
    last = torch.searchsorted(outputs.low, inputs[-1], right=True)
    return int(first), int(last)
