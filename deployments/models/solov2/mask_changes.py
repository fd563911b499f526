"""Masks of the original size as the places where they begin and end, computed where the network ran.

On a GPU the masks of a photo are made in less time than it takes to bring one of them to the CPU, and the places are a
thousandth of their pixels. On the CPU ``full_size`` does less work for the same answer.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from deployments.imaging.masks import rle_of_changes
from deployments.models.solov2.full_size import STRIDE, Neighbours, neighbours
from deployments.models.solov2.inference import SoftMasks
from deployments.models.solov2.network import resize_bilinear
from deployments.results import RLE

PIXELS_AT_ONCE = 16 * 1024 * 1024
"""Over several masks, each of which is held as floats three times: bounds the device's memory."""


class MaskChanges(NamedTuple):
    """Instances of one picture, best first.

    scores: float32 [K]; labels: int64 [K]; places: int32, of all masks one after the other, the column-major positions
    at which a mask differs from the pixel before it; counts: int64 [K], how many places each mask has.
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
    """The masks that ``full_size_masks`` makes of the same arguments, pixel for pixel on the same device."""
    rows = neighbours(resized[0], original[0], found.masks.device)
    columns = neighbours(resized[1], original[1], found.masks.device)
    pixels = max(original[0] * original[1], resized[0] * resized[1])
    places, counts = [found.labels.new_zeros(0, dtype=torch.int32)], [found.labels.new_zeros(0)]
    for some in torch.split(found.masks, max(1, PIXELS_AT_ONCE // pixels)) if len(found.masks) else ():
        input_size = (some.shape[1] * STRIDE, some.shape[2] * STRIDE)
        whole = resize_bilinear(some[:, None], input_size)[:, 0, : resized[0], : resized[1]]
        lines = _between(whole, rows).transpose(1, 2)
        changed = _changes((_between(lines, columns) > threshold).flatten(1))
        places.append(changed.nonzero(as_tuple=True)[1].int())
        counts.append(changed.sum(dim=1))
    return MaskChanges(found.scores, found.labels, torch.cat(places), torch.cat(counts))


def _between(inputs: Tensor, outputs: Neighbours) -> Tensor:
    """Float [K, inputs, N] to [K, outputs, N], linearly interpolated."""
    return torch.lerp(inputs[:, outputs.low], inputs[:, outputs.high], outputs.weight[:, None])


def _changes(flat: Tensor) -> Tensor:
    """Where bool [K, pixels] differ from the pixel before; before the first there is background."""
    before = torch.nn.functional.pad(flat[:, :-1], (1, 0))
    return flat ^ before
