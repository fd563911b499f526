import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deployments.calls import Call, Item, MaskDetectionOptions
from deployments.imaging.decode import decode
from deployments.imaging.resize import prepare
from deployments.models.face_mask.classifier import Verdict
from deployments.models.face_mask.detector import STRIDES, LevelOutput
from deployments.models.face_mask.model import FaceMaskModel
from deployments.models.load import load
from deployments.results import Box, Face
from tests.photos import SHARED, astronaut, china, grace_hopper, masked_astronaut, needs_shared

PUBLISHED = [
    ("MASK", Box(455.518, 186.380, 658.829, 442.673)),
    ("MASK", Box(938.908, 326.986, 1121.080, 586.047)),
    ("NO MASK", Box(1166.190, 295.552, 1325.621, 496.941)),
]
"""PaddleHub's answer for its documentation's family_mask.jpg."""


@pytest.fixture(scope="module")
def model() -> FaceMaskModel:
    loaded = load("face_mask", "mask_detection", "cpu", threads=1)
    assert isinstance(loaded, FaceMaskModel)
    return loaded


def item(model: FaceMaskModel, image: NDArray[np.uint8], threshold: float | None = None) -> Item:
    options = MaskDetectionOptions(model.card.thresholds["face_threshold"] if threshold is None else threshold)
    call = Call(image.shape[0], image.shape[1], options, deadline=float("inf"), request_id="test")
    return Item(prepare(image, model.card.image), call)


def faces(model: FaceMaskModel, *items: Item) -> list[list[Face]]:
    return [model.finish(i, raw) for i, raw in zip(items, model.run(model.collate(list(items))), strict=True)]


@pytest.mark.parametrize(
    ("photo", "label", "where"),
    [
        (astronaut, "NO MASK", Box(180, 75, 267, 175)),
        (masked_astronaut, "MASK", Box(180, 75, 267, 175)),
        (grace_hopper, "NO MASK", Box(195, 150, 340, 345)),
    ],
)
def test_real_photos(model: FaceMaskModel, photo: object, label: str, where: Box) -> None:
    (found,) = faces(model, item(model, photo()))  # type: ignore[operator]
    assert found[0].label == label
    assert found[0].box.iou(where) >= 0.5
    assert all(face.face_score < 0.55 for face in found[1:])  # a cap's badge may pass for a doubtful face
    assert found[0].confidence >= 0.9


def test_a_landscape_has_no_face(model: FaceMaskModel) -> None:
    assert faces(model, item(model, china())) == [[]]


@needs_shared
def test_the_published_answer(model: FaceMaskModel) -> None:
    photo = decode((SHARED / "photos/family_mask.jpg").read_bytes(), max_pixels=10_000_000)
    (found,) = faces(model, item(model, photo))
    assert len(found) == len(PUBLISHED)
    for label, box in PUBLISHED:
        best = max(found, key=lambda face: face.box.iou(box))
        assert best.label == label
        assert best.box.iou(box) >= 0.5
        assert best.confidence >= 0.9


def test_alone_and_in_a_batch_are_the_same(model: FaceMaskModel) -> None:
    items = [item(model, photo) for photo in (astronaut(), masked_astronaut(), astronaut()[::-1].copy())]
    items += [item(model, np.zeros((512, 512, 3), np.uint8))]
    alone = [faces(model, one)[0] for one in items]
    together = faces(model, *items)
    assert sum(map(len, alone)) >= 2
    for one, other in zip(alone, together, strict=True):
        assert [face.label for face in one] == [face.label for face in other]
        for a, b in zip(one, other, strict=True):
            assert abs(a.face_score - b.face_score) <= 1e-4
            assert abs(a.confidence - b.confidence) <= 1e-4
            assert a.box.iou(b.box) >= 0.999


def test_a_lower_threshold_only_adds(model: FaceMaskModel) -> None:
    (few,), (many,) = faces(model, item(model, astronaut())), faces(model, item(model, astronaut(), threshold=0.05))
    assert [face.face_score for face in few] == pytest.approx([face.face_score for face in many[: len(few)]])
    assert all(face.face_score >= 0.05 for face in many)
    assert faces(model, item(model, astronaut(), threshold=1.0)) == [[]]


def test_the_second_stage_sees_a_few_faces_at_a_time(model: FaceMaskModel, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [item(model, photo, threshold=0.02) for photo in (astronaut(), masked_astronaut())]
    together = faces(model, *items)
    seen: list[int] = []
    classify = model.classifier.forward
    monkeypatch.setattr("deployments.models.face_mask.model.CROPS_AT_ONCE", 2)
    monkeypatch.setattr(model.classifier, "forward", lambda crops: seen.append(len(crops)) or classify(crops))
    few_at_a_time = faces(model, *items)
    assert len(seen) > 1
    assert max(seen) == 2
    for one, other in zip(together, few_at_a_time, strict=True):
        assert [face.label for face in one] == [face.label for face in other]
        assert [face.face_score for face in one] == pytest.approx([face.face_score for face in other], abs=1e-4)


class Constant(nn.Module):
    """A second stage that says the same of every crop."""

    def __init__(self, face: float, offsets: tuple[float, float, float, float]) -> None:
        super().__init__()
        self.face, self.offsets = face, torch.tensor(offsets)

    def forward(self, crops: Tensor) -> Verdict:
        count = len(crops)
        return Verdict(torch.full((count,), self.face), torch.full((count,), 9.0), self.offsets.expand(count, 4))


def test_both_stages_must_see_a_face(model: FaceMaskModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "classifier", Constant(50.0, (0, 0, 0, 0)))
    (sure,) = faces(model, item(model, astronaut(), threshold=0.3))
    monkeypatch.setattr(model, "classifier", Constant(0.0, (0, 0, 0, 0)))
    (half,) = faces(model, item(model, astronaut(), threshold=0.3))
    assert sure[0].face_score > 0.6  # halved, it still passes
    assert half[0].face_score == pytest.approx(sure[0].face_score / 2, abs=1e-5)
    assert all(face.face_score >= 0.3 for face in half)
    monkeypatch.setattr(model, "classifier", Constant(-50.0, (0, 0, 0, 0)))
    assert faces(model, item(model, astronaut(), threshold=0.3)) == [[]]


def test_the_second_stage_moves_the_box(model: FaceMaskModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "classifier", Constant(50.0, (0, 0, 0, 0)))
    (before,) = faces(model, item(model, astronaut()))
    monkeypatch.setattr(model, "classifier", Constant(50.0, (0.5, 0, 0, 0)))
    (after,) = faces(model, item(model, astronaut()))
    side = before[0].box.bottom - before[0].box.top
    assert after[0].box.left == pytest.approx(before[0].box.left + side / 2, abs=0.1)
    assert after[0].box.top == pytest.approx(before[0].box.top, abs=0.1)


def test_boxes_mended_to_the_same_face_become_one(model: FaceMaskModel, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [768 // stride for stride in STRIDES]
    levels = [LevelOutput(torch.full((1, n, n), -20.0), torch.ones(1, 4, n, n)) for n in cells]
    for x, logit in ((10, 2.0), (11, 1.0)):  # two boxes of 64 pixels, 32 apart
        levels[3].logits[0, 10, x] = logit
        levels[3].distances[0, :, 10, x] = 32.0
    monkeypatch.setattr(model, "detector", lambda images: levels)

    class ToTheMiddle(nn.Module):
        def forward(self, crops: Tensor) -> Verdict:
            offsets = torch.tensor([[0.25, 0, 0, 0], [-0.25, 0, 0, 0]])
            return Verdict(torch.full((2,), 50.0), torch.full((2,), 9.0), offsets)

    monkeypatch.setattr(model, "classifier", ToTheMiddle())
    (found,) = faces(model, item(model, np.zeros((768, 768, 3), np.uint8)))
    assert [face.face_score for face in found] == pytest.approx([torch.tensor(2.0).sigmoid().item()], abs=1e-5)
    assert found[0].box.left == pytest.approx(10 * 32 + 16 - 32 + 16)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (700, 2), (31, 33)])
def test_odd_sizes(model: FaceMaskModel, shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    (found,) = faces(model, item(model, noise))
    assert all(0 <= f.box.left < f.box.right <= shape[1] and 0 <= f.box.top < f.box.bottom <= shape[0] for f in found)


def test_boxes_come_back_in_pixels_of_the_original(model: FaceMaskModel) -> None:
    large = np.asarray(torch.from_numpy(astronaut()).repeat_interleave(5, 0).repeat_interleave(5, 1))
    assert large.shape[0] > model.card.image.resized_size(*large.shape[:2])[0]
    (found,) = faces(model, item(model, large))
    (small,) = faces(model, item(model, astronaut()))
    scaled = Box(*(side * 5 for side in (small[0].box.left, small[0].box.top, small[0].box.right, small[0].box.bottom)))
    assert found[0].box.iou(scaled) >= 0.9
