"""What each cell of the segmenter's grids learns from a crop, made in the loader, in shapes that stack into a batch."""

from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deployments.models.solov2.config import Architecture

ARCHITECTURE = Architecture(
    backbone="mobilenet_v2",
    fpn_channels=96,
    head_channels=96,
    head_convolutions=2,
    kernel_channels=64,
    mask_hidden_channels=64,
    grids=(32, 24, 16, 12),
)
CLASSES = ARCHITECTURE.classes
CELLS = sum(grid * grid for grid in ARCHITECTURE.grids)
SCALE_RANGES = ((1, 56), (36, 112), (72, 208), (144, 2048))
"""Geometric mean side in input pixels of the objects that each level learns, overlapping as in the paper."""
CENTRE = 0.2
"""Share of an object's box around its centre whose cells learn it."""
MOST_OBJECTS = 48
"""Objects a crop, a random choice of them where there are more: memory is bounded."""
MOST_POSITIVES = 128
"""Cells a crop whose masks are compared: memory is bounded, a random choice is fair."""


class Target(NamedTuple):
    """What one crop teaches; a batch has one more dimension in front of each.

    wanted: bool [CLASSES, CELLS], which class a cell should answer; counted: bool [CLASSES, CELLS], where an answer is
    right or wrong: not for classes that the picture does not label wholly, nor inside crowds; cells: int64
    [MOST_POSITIVES], those whose masks are compared, -1 where there are fewer; objects: int64 [MOST_POSITIVES], the
    object of each; masks: uint8 [MOST_OBJECTS, S/4, S/4], how much of a cell an object covers, 255 for all of it;
    outlined: bool [MOST_OBJECTS], whether that is its outline, or all that is known is its box.
    """

    wanted: Tensor
    counted: Tensor
    cells: Tensor
    objects: Tensor
    masks: Tensor
    outlined: Tensor


def make_target(
    rng: np.random.Generator,
    labels: list[int],
    masks: list[NDArray[np.uint8]],
    outlined: list[bool],
    crowds: list[tuple[int, NDArray[np.uint8]]],
    counted: NDArray[np.bool_],
    size: int,
) -> Target:
    """Targets of 0/1 masks [size, size], at most MOST_OBJECTS; counted: bool [CLASSES], the labelled ones.

    A cell on an outline has the share of it that is covered: the outline of the enlarged mask then runs between cells,
    not along them.
    """
    quarter = size // 4
    small = np.zeros((MOST_OBJECTS, quarter, quarter), np.uint8)
    for k, mask in enumerate(masks):
        small[k] = cv2.resize(255 * mask, (quarter, quarter), interpolation=cv2.INTER_AREA)
    cell_object = assign(masks, size)
    found = np.nonzero(cell_object >= 0)[0]
    wanted = np.zeros((CLASSES, CELLS), bool)
    wanted[np.array(labels, np.int64)[cell_object[found]], found] = True
    chosen = rng.permutation(found)[:MOST_POSITIVES]
    cells, objects = np.full(MOST_POSITIVES, -1), np.zeros(MOST_POSITIVES, np.int64)
    cells[: len(chosen)], objects[: len(chosen)] = chosen, cell_object[chosen]
    known = np.zeros(MOST_OBJECTS, bool)
    known[: len(outlined)] = outlined
    where = np.repeat(counted[:, None], CELLS, axis=1)
    for label, mask in crowds:
        where[label] &= ~covered_cells(mask)
    where |= wanted
    return Target(*(torch.from_numpy(part) for part in (wanted, where, cells, objects, small, known)))


def assign(masks: list[NDArray[np.uint8]], size: int) -> NDArray[np.int64]:
    """Which cell learns which object: int64 [CELLS], -1 for none; the smaller object wins, and the levels follow each
    other, finest first."""
    levels = [np.full((grid, grid), -1) for grid in ARCHITECTURE.grids]
    boxes = [cv2.boundingRect(mask) for mask in masks]
    scales = [float(np.sqrt(width * height)) for _, _, width, height in boxes]
    for k in np.argsort(scales)[::-1]:
        left, top, width, height = boxes[k]
        moments = cv2.moments(masks[k][top : top + height, left : left + width], binaryImage=True)
        if moments["m00"] == 0:
            continue
        centre = np.array([moments["m01"], moments["m10"]]) / moments["m00"] + (top + 0.5, left + 0.5)
        for (low, high), cells in zip(SCALE_RANGES, levels, strict=True):
            if not low <= scales[k] <= high:
                continue
            grid = len(cells)
            middle, reach = centre / size * grid, np.array([height, width]) * CENTRE / 2 / size * grid
            home = np.floor(middle)
            first = np.clip(np.maximum(np.floor(middle - reach), home - 1), 0, grid - 1).astype(int)
            last = np.clip(np.minimum(np.floor(middle + reach), home + 1), 0, grid - 1).astype(int)
            cells[first[0] : last[0] + 1, first[1] : last[1] + 1] = k
    return np.concatenate([cells.ravel() for cells in levels])


def covered_cells(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which cells a 0/1 mask [S, S] touches, bool [CELLS]."""
    parts = [
        cv2.resize(mask.astype(np.float32), (grid, grid), interpolation=cv2.INTER_AREA) > 0
        for grid in ARCHITECTURE.grids
    ]
    return np.concatenate([part.ravel() for part in parts])
