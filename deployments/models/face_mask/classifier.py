"""The second stage: is there a face in this crop, where exactly, and does it wear a mask?"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from deployments.models.backbones.mobilenet import MobileNetV2

CROP_SIZE = 96
"""Side of a crop in pixels, as the classifier sees it."""
CROP_MARGIN = 1.5
"""Side of the square crop as a multiple of the face's longer side, as in PaddleHub's pyramidbox_lite_server_mask."""


class Verdict(NamedTuple):
    """What the second stage says of K crops.

    face: float [K], a logit, positive where the crop shows a face; mask: float [K], a logit, positive where a mask is
    worn properly; offsets: float [K, 4], the face's box as ``refine`` reads it. The last two say nothing where there is
    no face.
    """

    face: Tensor
    mask: Tensor
    offsets: Tensor


class FaceClassifier(nn.Module):
    """Refuses what is no face, tells masked faces from bare ones, and mends the box."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = MobileNetV2()
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(self.backbone.channels[-1], 6))

    def forward(self, crops: Tensor) -> Verdict:
        """Float [K, 3, CROP_SIZE, CROP_SIZE], normalised RGB."""
        pooled = self.backbone(crops)[-1].mean(dim=(2, 3))
        outputs: Tensor = self.head(pooled)
        return Verdict(outputs[:, 0], outputs[:, 1], outputs[:, 2:])


def refine(boxes: Tensor, offsets: Tensor) -> Tensor:
    """The faces' boxes, float [K, 4], as seen in crops around ``boxes``, float [K, 4].

    offsets: how far the centre lies from the crop's (x, y), and the logarithms of width and height, all in units of the
    longer side that the crop was made for. R-CNN's regression (Girshick et al., CVPR 2014), but for that unit: the crop
    is a square, so the shape of the first box is not seen in it.
    """
    side = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1, keepdim=True)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 + offsets[:, :2] * side
    half = offsets[:, 2:].clamp(-3, 1).exp() * side / 2
    return torch.cat([centres - half, centres + half], dim=1)


def square_crops(boxes: Tensor) -> Tensor:
    """Squares of CROP_MARGIN times the longer side around each box's centre; both float [K, 4]."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1, keepdim=True) * (CROP_MARGIN / 2)
    return torch.cat([centres - half, centres + half], dim=1)


def crop_faces(picture: Tensor, boxes: Tensor, normalize: Callable[[Tensor], Tensor], size: int = CROP_SIZE) -> Tensor:
    """Cut faces from a picture, with as many samples per output pixel as the face's size asks.

    picture: uint8 [3, H, W], of which only what the crops need is normalised; boxes: float [K, 4] in pixels, K at least
    1; normalize: of [N, 3, H, W]. Returns float [K, 3, size, size], 0 outside the picture.
    """
    height, width = picture.shape[1:]
    squares = square_crops(boxes)
    # Two pixels more on each side, so that no sample of a crop comes near a cut that is not the picture's border.
    left, top = (max(0, int(side) - 2) for side in squares[:, :2].amin(dim=0).floor().tolist())
    right, bottom = (int(side) + 2 for side in squares[:, 2:].amax(dim=0).ceil().tolist())
    right, bottom = max(left + 1, min(right, width)), max(top + 1, min(bottom, height))
    region = normalize(picture[None, :, top:bottom, left:right].contiguous())
    # Samples between the last pixel and the outside fade to 0.
    region = F.pad(region, (0, int(right == width), 0, int(bottom == height)))
    places = squares - squares.new_tensor([left, top, left, top])
    crops: Tensor = roi_align(region, [places], output_size=size, sampling_ratio=0, aligned=True)
    return crops
