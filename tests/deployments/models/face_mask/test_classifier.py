import math

import numpy as np
import torch

from deployments.models.face_mask.classifier import CROP_MARGIN, crop_faces, refine, square_crops

FIRST = torch.tensor([0])
"""The only box lies in the first picture."""


def test_crops_are_squares_around_the_longer_side() -> None:
    square = square_crops(torch.tensor([[10.0, 20, 30, 60]]))[0]
    side = 40 * CROP_MARGIN
    assert square.tolist() == [20 - side / 2, 40 - side / 2, 20 + side / 2, 40 + side / 2]


def test_a_crop_of_its_own_size_is_the_picture_itself() -> None:
    canvas = torch.from_numpy(np.random.default_rng(0).random((1, 3, 40, 40), dtype=np.float32))
    box = torch.tensor([[12.0, 12, 20, 20]])  # 1.5 times 8 is 12 pixels
    crop = crop_faces(canvas, FIRST, box, size=12)
    assert torch.allclose(crop[0], canvas[0, :, 10:22, 10:22], atol=1e-5)


def test_shrinking_averages_every_pixel() -> None:
    canvas = torch.zeros(1, 1, 96, 96)
    canvas[..., ::2] = 1.0  # one-pixel stripes: any sampling that skips pixels shows
    crop = crop_faces(canvas, FIRST, torch.tensor([[16.0, 16, 80, 80]]), size=12)
    assert torch.allclose(crop, torch.full_like(crop, 0.5), atol=0.01)


def test_faces_of_several_pictures_stay_in_order() -> None:
    canvas = torch.stack([torch.full((3, 32, 32), float(n)) for n in range(3)])
    boxes = torch.tensor([[10.0, 10, 20, 20], [8, 8, 20, 20], [12, 12, 18, 18]])
    crops = crop_faces(canvas, torch.tensor([0, 2, 2]), boxes, size=4)
    assert [float(crop.mean()) for crop in crops] == [0, 2, 2]


def test_outside_the_picture_is_zero() -> None:
    crop = crop_faces(torch.ones(1, 1, 20, 20), FIRST, torch.tensor([[-8.0, -8, 8, 8]]), size=12)
    assert float(crop[0, 0, 0, 0]) == 0
    assert float(crop[0, 0, 8, 8]) == 1


def test_offsets_move_the_centre_and_set_the_size_in_units_of_the_longer_side() -> None:
    boxes = torch.tensor([[10.0, 10, 30, 50], [0, 0, 8, 8]])
    offsets = torch.tensor([[0.25, -0.1, math.log(0.5), math.log(0.75)], [0, 0, 0, 0]])
    assert torch.allclose(refine(boxes, offsets), torch.tensor([[20.0, 11, 40, 41], [0, 0, 8, 8]]))


def test_wild_offsets_stay_finite() -> None:
    boxes = torch.tensor([[10.0, 10, 30, 50]])
    assert refine(boxes, torch.tensor([[0.0, 0, 1000, -1000]])).isfinite().all()
