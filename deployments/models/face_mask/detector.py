"""A light single-shot face detector: feature pyramid, context modules, anchor-free heads.

The pyramid with context modules follows PyramidBox (Tang et al., ECCV 2018) and SSH (Najibi et al., ICCV 2017); the
heads predict, at each cell, a face logit and the distances to the box's sides as FCOS does (Tian et al., ICCV 2019).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import batched_nms, nms

from deployments.models.backbones.mobilenet import MobileNetV2

STRIDES = (4, 8, 16, 32)
NMS_IOU = 0.45
"""Of two boxes that overlap more than this, the better one stays."""
NESTED = 0.85
"""Share of the smaller of two boxes inside the other from which both are the same face."""


class Detections(NamedTuple):
    """Faces of a batch: image index int64 [K], boxes float32 [K, 4] (left, top, right, bottom), scores float32 [K]."""

    image: Tensor
    boxes: Tensor
    scores: Tensor


class LevelOutput(NamedTuple):
    """One pyramid level's raw answer: logits float [N, h, w]; distances float [N, 4, h, w], in pixels of the input."""

    logits: Tensor
    distances: Tensor


def convolution(inputs: int, outputs: int) -> nn.Sequential:
    """3x3 convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class ContextModule(nn.Module):
    """Sees 3x3, 5x5 and 7x7 surroundings of each cell, since small faces are known by the head and body around them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        quarter = channels // 4
        self.near = convolution(channels, channels // 2)
        self.middle_entry = convolution(channels, quarter)
        self.middle = convolution(quarter, quarter)
        self.far = nn.Sequential(convolution(quarter, quarter), convolution(quarter, quarter))

    def forward(self, x: Tensor) -> Tensor:
        """Float [N, C, h, w] to the same shape."""
        entry = self.middle_entry(x)
        return torch.cat([self.near(x), self.middle(entry), self.far(entry)], dim=1)


class FaceDetector(nn.Module):
    """Predicts faces on four pyramid levels, from 4-pixel to 32-pixel cells."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.backbone = MobileNetV2()
        self.laterals = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in self.backbone.channels)
        self.contexts = nn.ModuleList(ContextModule(channels) for _ in STRIDES)
        self.face = nn.Conv2d(channels, 1, 1)
        self.sides = nn.Conv2d(channels, 4, 1)
        self.level_scales = nn.Parameter(torch.ones(len(STRIDES)))

    def forward(self, images: Tensor) -> list[LevelOutput]:
        """Float [N, 3, H, W], normalised RGB, H and W multiples of 32, to one output a level, finest first."""
        laterals = [lateral(stage) for lateral, stage in zip(self.laterals, self.backbone(images), strict=True)]
        for finer in range(len(laterals) - 2, -1, -1):
            laterals[finer] = laterals[finer] + F.interpolate(laterals[finer + 1], scale_factor=2.0, mode="nearest")
        outputs = []
        for level, stride in enumerate(STRIDES):
            features = self.contexts[level](laterals[level])
            distances = F.softplus(self.sides(features) * self.level_scales[level]) * stride
            outputs.append(LevelOutput(self.face(features)[:, 0], distances))
        return outputs


def cell_centres(height: int, width: int, stride: int, device: torch.device) -> Tensor:
    """Centres (x, y) of a level's cells in pixels, float [h, w, 2]."""
    y = (torch.arange(height, device=device) + 0.5) * stride
    x = (torch.arange(width, device=device) + 0.5) * stride
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def decode_boxes(level: LevelOutput, stride: int) -> Tensor:
    """Boxes of every cell of a level, float [N, h, w, 4] (left, top, right, bottom) in pixels of the input."""
    distances = level.distances.permute(0, 2, 3, 1)
    centres = cell_centres(distances.shape[1], distances.shape[2], stride, distances.device)
    return torch.cat([centres - distances[..., :2], centres + distances[..., 2:]], dim=-1)


def one_box_a_face(boxes: Tensor, scores: Tensor) -> Tensor:
    """Greedy NMS, and of two boxes of which one lies mostly inside the other, the better: a large face may be found a
    second time by its lower half, or by its glasses. Float [K, 4] and [K]; returns int64, those to keep, best first."""
    kept: Tensor = nms(boxes, scores, NMS_IOU)
    corners = boxes[kept]
    shared = torch.minimum(corners[:, None, 2:], corners[None, :, 2:]) - torch.maximum(
        corners[:, None, :2], corners[None, :, :2]
    )
    areas = (corners[:, 2:] - corners[:, :2]).prod(dim=1)
    inside = shared.clamp(min=0).prod(dim=2) / torch.minimum(areas[:, None], areas[None, :]).clamp(min=1e-6)
    return kept[~(inside > NESTED).triu(diagonal=1).any(dim=0)]


def detect(levels: list[LevelOutput], threshold: float, candidates_per_image: int = 1000) -> Detections:
    """Turn raw outputs into faces: score above ``threshold``, then greedy NMS within each image, best first.

    Boxes are in pixels of the network's input and not clipped to the picture.
    """
    scores = torch.cat([level.logits.flatten(1) for level in levels], dim=1).float().sigmoid()
    image, cell = torch.nonzero(scores > threshold, as_tuple=True)
    order = scores[image, cell].argsort(descending=True, stable=True)
    best = torch.cat([order[image[order] == n][:candidates_per_image] for n in range(len(scores))])
    image, cell = image[best], cell[best]
    centres = torch.cat(
        [
            cell_centres(level.logits.shape[1], level.logits.shape[2], stride, cell.device).flatten(0, 1)
            for level, stride in zip(levels, STRIDES, strict=True)
        ]
    )
    distances = torch.cat([level.distances.flatten(2) for level in levels], dim=2)[image, :, cell].float()
    boxes = torch.cat([centres[cell] - distances[:, :2], centres[cell] + distances[:, 2:]], dim=1)
    keep = batched_nms(boxes, scores[image, cell], image, NMS_IOU)
    return Detections(image[keep], boxes[keep], scores[image, cell][keep])
