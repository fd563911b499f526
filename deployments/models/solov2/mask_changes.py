"""Masks of the original size: on a GPU they are made in less time than it takes to bring one to the CPU."""

from typing import NamedTuple

import torch
from torch import Tensor

from deployments.imaging.masks import rle_of_changes
from deployments.models.full_size import changes
from deployments.models.solov2.inference import SoftMasks
from deployments.models.solov2.network import resize_bilinear
from deployments.results import RLE

STRIDE = 4
"""Input pixels per mask pixel."""
MASKS_AT_ONCE = 16
"""Of the network's input size, which bounds the memory."""


class MaskChanges(NamedTuple):
    """Instances of one picture, best first.

    scores: float32 [K]; labels: int64 [K]; places, int32, and counts, int64 [K]: as ``full_size.changes`` gives them.
    """

    scores: Tensor
    labels: Tensor
    places: Tensor
    counts: Tensor

    def rles(self, size: tuple[int, int]) -> list[RLE]:
        """Each mask's run-length encoding; on the CPU. size: height and width of the masks."""
        return [rle_of_changes(places.numpy(), size) for places in torch.split(self.places, self.counts.tolist())]


def mask_changes(
    found: SoftMasks, resized: tuple[int, int], original: tuple[int, int], threshold: float
) -> MaskChanges:
    """Upsample probabilities by STRIDE, cut the padding off, resize to the original size, and threshold.

    Both steps are bilinear with half-pixel centres. resized, original: height and width of the picture as the network
    saw it, without padding, and of the one that was sent.
    """
    parts = []
    for some in torch.split(found.masks, MASKS_AT_ONCE):
        input_size = (some.shape[2] * STRIDE, some.shape[1] * STRIDE)
        columns = resize_bilinear(some.transpose(1, 2)[:, None], input_size)[:, 0, : resized[1], : resized[0]]
        parts.append(changes(columns, original, threshold))
    places, counts = map(torch.cat, zip(*parts, strict=True))
    return MaskChanges(found.scores, found.labels, places, counts)
