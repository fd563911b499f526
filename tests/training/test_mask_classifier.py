import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import box_iou

from deployments.models.face_mask.classifier import CROP_MARGIN, CROP_SIZE, Verdict
from deployments.models.face_mask.detector import STRIDES, LevelOutput
from tests.photos import astronaut
from training.data import INCORRECT, NOT_DECODED, WITH_MASK, WITHOUT_MASK, PackedPicture, Picture
from training.loop import Draw
from training.mask_classifier import (
    INCORRECT_WEIGHT,
    NOTHING,
    SHARES,
    FaceCrops,
    Place,
    Target,
    cut_place,
    found_bare,
    loss,
    mine,
)

FACE = np.array([180, 75, 267, 175], np.float32)


def photo(boxes: list[np.ndarray]) -> Picture:
    sides = np.array(boxes, np.float32).reshape(-1, 4)
    return Picture("test", astronaut(), sides, np.full(len(boxes), INCORRECT), [], np.zeros(len(boxes), bool))


class OneBox(nn.Module):
    """A detector that sees one box, in pixels of its input, with probability 0.8."""

    def __init__(self, box: tuple[float, float, float, float]) -> None:
        super().__init__()
        self.box = torch.tensor(box)

    def forward(self, images: Tensor) -> list[LevelOutput]:
        outputs = []
        for stride in STRIDES:
            height, width = images.shape[2] // stride, images.shape[3] // stride
            logits = torch.full((1, height, width), -20.0)
            distances = torch.ones(1, 4, height, width)
            if stride == STRIDES[-1]:
                x, y = ((self.box[:2] + self.box[2:]) / 2 // stride).long().tolist()
                centre = torch.tensor([x + 0.5, y + 0.5]) * stride
                logits[0, y, x] = math.log(4)
                distances[0, :, y, x] = torch.cat([centre - self.box[:2], self.box[2:] - centre])
            outputs.append(LevelOutput(logits, distances))
        return outputs


def test_what_the_detector_finds_is_named_by_its_overlap() -> None:
    scale = 768 / 512  # the detector's input to the photo
    detector = OneBox(tuple(FACE * scale))
    (met,) = mine(detector, [photo([FACE])])  # type: ignore[arg-type]
    assert met.category == INCORRECT
    assert met.box == pytest.approx(FACE, abs=0.01)
    (wrong,) = mine(detector, [photo([FACE + 80])])  # type: ignore[arg-type]
    assert wrong.category == NOTHING
    assert wrong.weight == pytest.approx(0.8, abs=0.01)
    (nobody,) = mine(detector, [photo([])])  # type: ignore[arg-type]
    assert nobody.category == NOTHING
    assert mine(detector, [photo([FACE + np.array([0, 0, 0, 250])])]) == []  # type: ignore[arg-type]  # in between


class Sure(nn.Module):
    """A second stage that sees a face in every crop, in the middle, and says what it wears."""

    def __init__(self, mask: float) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, images: Tensor) -> Verdict:
        count = len(images)
        return Verdict(torch.full((count,), 9.0), torch.full((count,), self.mask), torch.zeros(count, 4))


def packed() -> PackedPicture:
    encoded = cv2.imencode(".png", astronaut()[:, :, ::-1])[1].tobytes()
    return PackedPicture(encoded, replace(photo([]), image=NOT_DECODED))


def test_sure_bare_faces_of_other_pictures_are_taken_with_their_surroundings() -> None:
    detector = OneBox(tuple(FACE * (768 / 512)))
    (found,) = found_bare(detector, Sure(-5.0), [packed()])  # type: ignore[arg-type]
    assert found.category == WITHOUT_MASK
    left, top, right, bottom = found.face.round().astype(int)
    middle = found.picture.image[(top + bottom) // 2, (left + right) // 2]
    assert np.array_equal(middle, astronaut()[125, 223])
    assert found.picture.image.shape[0] <= 310
    assert found_bare(detector, Sure(5.0), [packed()]) == []  # type: ignore[arg-type]


def test_surroundings_end_at_the_picture() -> None:
    corner = cut_place(photo([]), np.array([2, 3, 52, 63], np.float32))
    assert corner.face == pytest.approx(np.array([2, 3, 52, 63]))
    assert corner.picture.image.shape[0] <= 180


def place(category: int, weight: float = 1.0) -> Place:
    return Place(photo([]), FACE, category, FACE, weight)


def test_kinds_are_drawn_in_their_shares() -> None:
    kinds = [WITH_MASK] * 50 + [WITHOUT_MASK] * 5 + [INCORRECT] * 2 + [NOTHING] * 300
    weights = FaceCrops([place(kind, 0.5) for kind in kinds], seed=0).balance()
    assert weights[55] == pytest.approx(weights[54] * INCORRECT_WEIGHT)
    assert weights[:50].sum() == pytest.approx(SHARES["masked"])
    assert weights[50:57].sum() == pytest.approx(SHARES["bare"])
    assert weights[57:].sum() == pytest.approx(SHARES["nothing"])


@pytest.mark.parametrize(
    ("category", "expected"),
    [
        (WITH_MASK, {(1.0, 1.0)}),
        (INCORRECT, {(1.0, 0.0)}),
        (NOTHING, {(0.0, 0.0)}),
        (WITHOUT_MASK, {(1.0, 0.0), (1.0, 1.0)}),  # sometimes with a mask drawn on it
    ],
)
def test_targets(category: int, expected: set[tuple[float, float]]) -> None:
    crops = FaceCrops([place(category)], seed=0)
    drawn = [crops[Draw(0, number)] for number in range(40)]
    assert {(target.face, target.mask) for _, target in drawn} == expected
    assert all(image.shape == (CROP_SIZE, CROP_SIZE, 3) and image.dtype == np.uint8 for image, _ in drawn)


def test_the_box_follows_the_face() -> None:
    image = np.zeros((300, 400, 3), np.uint8)
    image[100:180, 150:210] = 255  # a white face
    white = Picture("test", image, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), [], np.zeros(0, bool))
    face, near = np.array([150, 100, 210, 180], np.float32), np.array([140, 90, 215, 170], np.float32)
    crops = FaceCrops([Place(white, near, WITH_MASK, face)], seed=0)
    for number in range(30):
        crop, target = crops[Draw(0, number)]
        ys, xs = np.nonzero(crop.mean(axis=2) > (int(crop.max()) + int(crop.min())) / 2)
        seen = torch.tensor([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]]).float()
        assert box_iou(seen, torch.from_numpy(target.box)[None]) > 0.6  # a turned face has a larger box


def constant(face: float, mask: float, offsets: tuple[float, ...]) -> nn.Module:
    return lambda images: Verdict(  # type: ignore[return-value]
        torch.full((2,), face), torch.full((2,), mask), torch.tensor(offsets).expand(2, 4)
    )


def test_the_box_loss_vanishes_at_the_truth_and_counts_faces_only() -> None:
    truth = np.array([30, 20, 80, 76], np.float32)
    other = np.array([0, 0, 5, 5], np.float32)
    targets = [Target(1.0, 1.0, truth), Target(0.0, 0.0, other)]
    side = CROP_SIZE / CROP_MARGIN
    offsets = (7 / side, 0.0, math.log(50 / side), math.log(56 / side))
    losses = loss(constant(0.0, 9.0, offsets), torch.zeros(2), targets)
    assert losses["box"] == pytest.approx(0, abs=1e-5)
    assert losses["mask"] < 0.3
    wrong = loss(constant(0.0, -9.0, (0.0, 0.0, 0.0, 0.0)), torch.zeros(2), targets)
    assert wrong["box"] > 0.1
    assert wrong["mask"] > 5
