"""From raw outputs to instances: points-NMS, dynamic masks, matrix NMS (SOLOv2, sections 3.3 and 3.4)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from deployments.models.candidates import Asked, scores_enough
from deployments.models.solov2.config import Inference
from deployments.models.solov2.network import RawOutput

CANDIDATES_AT_ONCE = 256


class SoftMasks(NamedTuple):
    """Instances of one picture, best first.

    scores: float32 [K]; labels: int64 [K]; masks: float32 [K, H/4, W/4], probabilities over the padded input.
    """

    scores: Tensor
    labels: Tensor
    masks: Tensor


def asked_for(found: SoftMasks, wanted: Asked) -> SoftMasks:
    """Those of the labels and scores that are wanted, and no more of them than that."""
    chosen = scores_enough(found.scores, found.labels, wanted)
    if wanted.label_ids is not None:
        chosen &= torch.isin(found.labels, found.labels.new_tensor(wanted.label_ids))
    rows = chosen.nonzero()[: wanted.most, 0]
    return SoftMasks(*(part[rows] for part in found))


def points_nms(scores: Tensor) -> Tensor:
    """Zero every cell that its left, upper or upper-left neighbour beats; float [N, C, G, G]."""
    strongest = F.max_pool2d(scores, kernel_size=2, stride=1, padding=1)[:, :, :-1, :-1]
    return scores * (strongest == scores)


def matrix_nms(scores: Tensor, labels: Tensor, masks: Tensor, areas: Tensor, sigma: float) -> Tensor:
    """Decay each score by its overlap with better masks of the same label (Gaussian kernel).

    scores: float [K], descending; labels: int64 [K]; masks: float [K, P], 0 or 1; areas: float [K].
    Returns the decayed scores, float [K].
    """
    shared = masks @ masks.T
    iou = shared / (areas[:, None] + areas[None, :] - shared)
    iou = (iou * (labels[:, None] == labels[None, :])).triu(diagonal=1)
    compensation = iou.amax(dim=0)
    decay = torch.exp(-sigma * iou**2) / torch.exp(-sigma * compensation**2)[:, None]
    return scores * decay.amin(dim=0)


def select(
    raw: RawOutput, strides: tuple[int, ...], settings: Inference, asked: Sequence[Asked] | None = None
) -> list[SoftMasks]:
    """Decode a batch; one answer a picture, whatever else the batch holds.

    strides: each level's stride in input pixels, below which a mask's area (in mask pixels) is noise; asked: of each
    picture, to leave out other labels and what cannot reach the least score, which changes nothing for the rest.
    """
    levels = [logits.float().sigmoid() for logits in raw.category_logits]
    kernels = torch.cat([each.flatten(2) for each in raw.kernels], dim=2)
    cell_strides = torch.cat(
        [torch.full((s.shape[2] * s.shape[3],), stride) for s, stride in zip(levels, strides, strict=True)]
    ).to(kernels.device)
    return [
        _select_one(
            [scores[n] for scores in levels],
            kernels[n],
            raw.mask_features[n],
            cell_strides,
            settings,
            asked[n] if asked else None,
        )
        for n in range(len(kernels))
    ]


def _select_one(
    levels: list[Tensor],
    kernels: Tensor,
    features: Tensor,
    strides: Tensor,
    settings: Inference,
    wanted: Asked | None,
) -> SoftMasks:
    """One picture: scores [classes, G, G] a level, kernels [channels, cells], features [channels, h, w], strides
    [cells]."""
    # A mask's certainty and its decay by better ones are at most 1, so what is below the least score stays below it.
    least = wanted.lowest_threshold if wanted else 0.0
    labels = _present(levels, settings.candidate_score, least, wanted.label_ids if wanted else None)
    if not len(labels):
        return SoftMasks(features.new_zeros(0), labels, features.new_zeros(0, *features.shape[1:]))
    scores = torch.cat([points_nms(level[labels][None])[0].flatten(1) for level in levels], dim=1).T
    cell, column = torch.nonzero((scores > settings.candidate_score) & (scores >= least), as_tuple=True)
    # Thousands of candidates may pass: their masks are weighed some at a time, and made again for those that are kept.
    parts = torch.split(cell, CANDIDATES_AT_ONCE)
    weighed = [_weigh(kernels[:, part], features, settings.mask_threshold) for part in parts]
    area, certainty = (torch.cat(each) for each in zip(*weighed, strict=True))
    score = scores[cell, column] * certainty
    enough = (area > strides[cell]) & (score >= least)
    cell, label, area, score = cell[enough], labels[column[enough]], area[enough], score[enough]
    order = score.argsort(descending=True, stable=True)[: settings.candidates]
    score, label, area = score[order], label[order], area[order]
    soft = _soft_masks(kernels[:, cell[order]], features)
    if len(score):
        binary = (soft > settings.mask_threshold).flatten(1).float()
        score = matrix_nms(score, label, binary, area, settings.nms_sigma)
    order = score.argsort(descending=True, stable=True)
    order = order[score[order] >= settings.kept_score][: settings.kept]
    return SoftMasks(score[order], label[order], soft[order])


def _present(levels: list[Tensor], above: float, least: float, label_ids: tuple[int, ...] | None) -> Tensor:
    """Labels that some cell scores high enough, in order: int64 [P]. Few of many classes are in one picture."""
    best = torch.stack([level.flatten(1).amax(dim=1) for level in levels]).amax(dim=0)
    high = (best > above) & (best >= least)
    if label_ids is not None:
        high &= torch.isin(torch.arange(len(high)), torch.tensor(label_ids, dtype=torch.int64)).to(high.device)
    return high.nonzero()[:, 0]


def _soft_masks(kernels: Tensor, features: Tensor) -> Tensor:
    """Mask probabilities of dynamic 1x1 kernels [channels, K] on features [channels, h, w]: float32 [K, h, w]."""
    return torch.einsum("ck,chw->khw", kernels, features).float().sigmoid()


def _weigh(kernels: Tensor, features: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Area in mask pixels and mean probability inside of each kernel's mask, both float [K]."""
    soft = _soft_masks(kernels, features)
    hard = soft > threshold
    area = hard.sum(dim=(1, 2)).float()
    return area, (soft * hard).sum(dim=(1, 2)) / area
