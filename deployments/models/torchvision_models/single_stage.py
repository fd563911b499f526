"""SSD (Liu et al., ECCV 2016) and RetinaNet (Lin et al., ICCV 2017) of torchvision, but for resizing."""

from collections.abc import Sequence
from copy import copy
from typing import Any

from torch import Tensor
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.image_list import ImageList

from deployments.engines.equip import Example
from deployments.models.candidates import Asked, Candidates, select


def find(network: Any, images: ImageList, asked: Sequence[Asked]) -> list[Candidates]:
    """Objects of each picture, best first, of which each request has its own thresholds.

    network: an SSD or RetinaNet; images: its input, normalised and padded.
    """
    network = copy(network)  # whose thresholds are set below, beside another thread's
    features = list(network.backbone(images.tensors).values())
    outputs = network.head(features)
    anchors = network.anchor_generator(images, features)
    found = []
    for i, wanted in enumerate(asked):
        # which torchvision reads from the network
        network.score_thresh, network.nms_thresh = wanted.lowest_threshold, wanted.nms_iou
        mine: Any = {name: output[i : i + 1] for name, output in outputs.items()}
        mine_anchors: Any = anchors[i : i + 1]
        if isinstance(network, RetinaNet):
            per_cell = network.anchor_generator.num_anchors_per_location()
            levels = [f.shape[2] * f.shape[3] * count for f, count in zip(features, per_cell, strict=True)]
            mine = {name: output.split(levels, dim=1) for name, output in mine.items()}
            mine_anchors = [anchors[i].split(levels)]
        (one,) = network.postprocess_detections(mine, mine_anchors, images.image_sizes[i : i + 1])
        # RetinaNet has a logit for the background too, and may answer it
        objects = Candidates(one["boxes"], one["scores"], one["labels"] - 1)
        found.append(select(objects.take(objects.labels >= 0), wanted))
    return found


def examples(network: Any, images: Tensor) -> list[Example]:
    """What computes, with its inputs for ``images``; all around it decodes."""
    features = list(network.backbone(images).values())
    return [(network.backbone, (images,)), (network.head, (features,))]
