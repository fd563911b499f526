import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import roi_align

from deployments.models.face_mask.classifier import CROP_MARGIN, crop_faces, refine, square_crops


def test_crops_are_squares_around_the_longer_side() -> None:
    square = square_crops(torch.tensor([[10.0, 20, 30, 60]]))[0]
    side = 40 * CROP_MARGIN
    assert square.tolist() == [20 - side / 2, 40 - side / 2, 20 + side / 2, 40 + side / 2]


def test_a_crop_of_its_own_size_is_the_picture_itself() -> None:
    picture = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 40, 40), np.uint8))
    box = torch.tensor([[12.0, 12, 20, 20]])  # 1.5 times 8 is 12 pixels
    crop = crop_faces(picture, box, Tensor.float, size=12)
    assert torch.allclose(crop[0], picture[:, 10:22, 10:22].float(), atol=1e-3)


def test_shrinking_averages_every_pixel() -> None:
    picture = torch.zeros(3, 96, 96, dtype=torch.uint8)
    picture[..., ::2] = 100  # one-pixel stripes: any sampling that skips pixels shows
    crop = crop_faces(picture, torch.tensor([[16.0, 16, 80, 80]]), Tensor.float, size=12)
    assert torch.allclose(crop, torch.full_like(crop, 50), atol=1)


def test_outside_the_picture_is_zero_after_normalising() -> None:
    picture = torch.full((3, 20, 20), 7, dtype=torch.uint8)
    for box, outside, inside in (
        ([-8.0, -8, 8, 8], (0, 0), (8, 8)),
        ([12.0, 12, 28, 28], (11, 11), (2, 2)),
    ):
        (crop,) = crop_faces(picture, torch.tensor([box]), lambda pixels: pixels.float() + 1, size=12)
        assert crop[(0, *outside)] == 0
        assert crop[(0, *inside)] == 8


@pytest.mark.parametrize("seed", range(20))
def test_a_crop_is_the_whole_normalised_pictures(seed: int) -> None:
    """Only what the crops need is normalised, and nothing of that shows, at the borders neither."""
    random = np.random.default_rng(seed)
    height, width = random.integers(1, 60, 2)
    picture = torch.from_numpy(random.integers(0, 256, (3, height, width), np.uint8))
    corners = random.random((4, 2, 2)) * [width, height]
    boxes = torch.from_numpy(np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)).float()

    def normalize(pixels: Tensor) -> Tensor:
        return (pixels.float() - 120) / 50

    canvas = F.pad(normalize(picture[None]), (0, 1, 0, 1))
    expected = roi_align(canvas, [square_crops(boxes)], output_size=24, sampling_ratio=0, aligned=True)
    assert torch.allclose(crop_faces(picture, boxes, normalize, size=24), expected, atol=1e-3)


def test_offsets_move_the_centre_and_set_the_size_in_units_of_the_longer_side() -> None:
    boxes = torch.tensor([[10.0, 10, 30, 50], [0, 0, 8, 8]])
    offsets = torch.tensor([[0.25, -0.1, math.log(0.5), math.log(0.75)], [0, 0, 0, 0]])
    assert torch.allclose(refine(boxes, offsets), torch.tensor([[20.0, 11, 40, 41], [0, 0, 8, 8]]))


def test_wild_offsets_stay_finite() -> None:
    boxes = torch.tensor([[10.0, 10, 30, 50]])
    assert refine(boxes, torch.tensor([[0.0, 0, 1000, -1000]])).isfinite().all()
