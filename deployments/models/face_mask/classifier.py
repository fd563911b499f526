"""The second stage: does the face in this crop wear a mask?"""

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from deployments.models.mobilenet import MobileNetV2

CROP_SIZE = 96
"""Side of a crop in pixels, as the classifier sees it."""
CROP_MARGIN = 1.5
"""Side of the square crop as a multiple of the face's longer side, as in PaddleHub's pyramidbox_lite_server_mask."""


class MaskClassifier(nn.Module):
    """One logit per crop: positive means that a mask is worn properly."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = MobileNetV2()
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(self.backbone.channels[-1], 1))

    def forward(self, crops: Tensor) -> Tensor:
        """Float [K, 3, CROP_SIZE, CROP_SIZE], normalised RGB, to logits [K]."""
        pooled = self.backbone(crops)[-1].mean(dim=(2, 3))
        logits: Tensor = self.head(pooled)
        return logits[:, 0]


def square_crops(boxes: Tensor) -> Tensor:
    """Squares of CROP_MARGIN times the longer side around each box's centre; both float [K, 4]."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1, keepdim=True) * (CROP_MARGIN / 2)
    return torch.cat([centres - half, centres + half], dim=1)


def crop_faces(canvas: Tensor, boxes: list[Tensor], size: int = CROP_SIZE) -> Tensor:
    """Cut every face of a batch of pictures at once, with as many samples per output pixel as the face's size asks.

    canvas: float [N, 3, H, W], normalised pictures, zero-padded right and below by at least a pixel, so that a
    picture's crops do not depend on the batch; boxes: N float tensors [k, 4] in pixels.
    Returns float [sum of k, 3, size, size] in order, 0 outside the picture.
    """
    squares = [square_crops(each) for each in boxes]
    crops: Tensor = roi_align(canvas, squares, output_size=size, sampling_ratio=0, aligned=True)
    return crops
