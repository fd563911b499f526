"""Faster R-CNN (Ren et al., NeurIPS 2015) and Mask R-CNN (He et al., ICCV 2017) of torchvision, but for resizing."""

from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import expand_boxes, expand_masks

from deployments.engines.equip import Example
from deployments.models.candidates import Asked, Candidates, select

MASK_THRESHOLD = 0.5
"""Probability above which a pixel belongs to an instance."""


def find(network: Any, images: ImageList, asked: Sequence[Asked]) -> list[Candidates]:
    """Objects of each picture, best first, of which each request has its own thresholds.

    network: a FasterRCNN or MaskRCNN, of which the latter adds masks [K, 28, 28] over the boxes; images: its input,
    normalised and padded.
    """
    features = network.backbone(images.tensors)
    proposals, _ = network.rpn(images, features)
    heads = copy(network.roi_heads)  # whose thresholds are set below, beside another thread's
    # Strides are told by comparing sizes, which goes wrong for narrow pictures unless the padding is counted.
    padded = [tuple(images.tensors.shape[-2:])]
    logits, deltas = heads.box_predictor(heads.box_head(heads.box_roi_pool(features, proposals, padded)))
    counts = [len(each) for each in proposals]
    parts = zip(logits.split(counts), deltas.split(counts), asked, strict=True)
    found = []
    for i, (mine_logits, mine_deltas, wanted) in enumerate(parts):
        # which torchvision reads from the heads
        heads.score_thresh, heads.nms_thresh = wanted.lowest_threshold, wanted.nms_iou
        boxes, scores, labels = heads.postprocess_detections(
            mine_logits, mine_deltas, proposals[i : i + 1], images.image_sizes[i : i + 1]
        )
        found.append(select(Candidates(boxes[0], scores[0], labels[0] - 1), wanted))
    if not heads.has_mask():
        return found
    pooled = heads.mask_roi_pool(features, [each.boxes for each in found], padded)
    masks = heads.mask_predictor(heads.mask_head(pooled)).split([len(each.boxes) for each in found])
    return [
        each._replace(masks=mine[torch.arange(len(mine)), each.labels + 1].sigmoid())
        for each, mine in zip(found, masks, strict=True)
    ]


def examples(network: Any, images: Tensor) -> list[Example]:
    """What computes, with its inputs for ``images`` and for as many proposals; all around it decodes."""
    heads = network.roi_heads
    features = network.backbone(images)
    finest = next(iter(features.values()))

    def branch(pool: Any, head: nn.Module, predictor: nn.Module) -> list[Example]:
        pooled = F.adaptive_avg_pool2d(finest, pool.output_size)
        return [(head, (pooled,)), (predictor, (head(pooled),))]

    found: list[Example] = [(network.backbone, (images,)), (network.rpn.head, (list(features.values()),))]
    found += branch(heads.box_roi_pool, heads.box_head, heads.box_predictor)
    if heads.has_mask():
        found += branch(heads.mask_roi_pool, heads.mask_head, heads.mask_predictor)
    return found


def paste(masks: Tensor, boxes: Tensor, size: tuple[int, int]) -> Iterator[Tensor]:
    """Masks over boxes, as masks over a picture: torchvision's ``paste_masks_in_image``, one by one.

    masks: float32 [K, 28, 28], probabilities; boxes: float32 [K, 4] in pixels of the picture, inside of it; size: its
    height and width. Yields bool [height, width], column-major as run-length encoding wants them.
    """
    height, width = size
    bordered, scale = expand_masks(masks, padding=1)
    expanded = expand_boxes(boxes, scale).long().tolist()
    for mask, (left, top, right, bottom) in zip(bordered, expanded, strict=True):
        inner = (max(bottom - top + 1, 1), max(right - left + 1, 1))
        soft = F.interpolate(mask[None, None], inner, mode="bilinear", align_corners=False)[0, 0]
        rows = slice(max(top, 0), min(bottom + 1, height))
        columns = slice(max(left, 0), min(right + 1, width))
        canvas = torch.zeros(width, height, dtype=torch.bool).T
        hard = soft > MASK_THRESHOLD
        canvas[rows, columns] = hard[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        yield canvas
