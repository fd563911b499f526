import asyncio
import time
from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest

from deployments.calls import (
    Answer,
    Call,
    CallExpired,
    Item,
    MaskDetectionOptions,
    ObjectDetectionOptions,
    ReplicaOverloaded,
    TaskOptions,
)
from deployments.models.card import ModelCard, card_path, read_card
from deployments.replica import Replica
from deployments.results import Box, Detection, Face


class FakeModel:
    """Finds one face a picture, as large as the picture, scored by its first pixel."""

    lanes = 1

    def __init__(self) -> None:
        self.card: ModelCard = read_card(card_path("face_mask"))
        self.batches: list[int] = []
        self.broken = False

    def padded_shape(self, item: Item) -> tuple[int, int]:
        return item.image.shape[0], item.image.shape[1]

    def collate(self, items: list[Item]) -> list[Item]:
        return items

    def run(self, batch: list[Item]) -> list[float]:
        if self.broken:
            raise RuntimeError("the device is lost")
        self.batches.append(len(batch))
        return [float(item.image[0, 0, 0]) / 255 for item in batch]

    def finish(self, item: Item, raw: float) -> list[Face]:
        assert isinstance(item.call.options, MaskDetectionOptions)
        asked = item.call.options.face_threshold
        face = Face(Box(0, 0, item.call.width, item.call.height), raw, "MASK", 1.0)
        return [face] if raw >= (self.card.thresholds["face_threshold"] if asked is None else asked) else []


@pytest.fixture
async def replica() -> AsyncIterator[Replica]:
    made = Replica(FakeModel())
    yield made
    await made.close()


def model_of(replica: Replica) -> FakeModel:
    assert isinstance(replica.model, FakeModel)
    return replica.model


async def ask(replica: Replica, grey: int = 255, deadline_s: float = 10, threshold: float | None = None) -> Answer:
    call = Call(8, 8, MaskDetectionOptions(threshold), time.time() + deadline_s, "test")
    return await replica(np.full((8, 8, 3), grey, np.uint8), call)


async def test_warm_before_the_first_call(replica: Replica) -> None:
    assert model_of(replica).batches == [1, 1]


async def test_answers_with_timing(replica: Replica) -> None:
    answer = await ask(replica)
    assert [face.face_score for face in answer.results if isinstance(face, Face)] == [1.0]
    assert answer.queue_ms >= 0
    assert answer.run_ms >= 0


async def test_thresholds_request_before_setting_before_card(replica: Replica) -> None:
    card_threshold = model_of(replica).card.thresholds["face_threshold"]
    between = int(255 * (card_threshold + 1) / 2)
    assert (await ask(replica, between)).results
    replica.reconfigure({"thresholds": {"face_threshold": 0.99}})
    assert not (await ask(replica, between)).results
    assert (await ask(replica, between, threshold=0.1)).results


async def test_a_new_batch_budget_holds_at_once(replica: Replica) -> None:
    replica.reconfigure({"max_batch_images": 2})
    model_of(replica).batches.clear()
    await asyncio.gather(*(ask(replica) for _ in range(9)))
    assert sum(model_of(replica).batches) == 9
    assert max(model_of(replica).batches) == 2


async def test_batches_are_bounded_by_what_is_measured(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    def fastest(run: Callable[[int], object], *_: object) -> int:
        run(4)
        return 4

    monkeypatch.setattr("deployments.replica.fastest_batch", fastest)
    model_of(replica).batches.clear()
    replica.measure_batches()
    assert model_of(replica).batches == [4]
    for setting, largest in ((16, 4), (3, 3)):
        replica.reconfigure({"max_batch_images": setting})
        model_of(replica).batches.clear()
        await asyncio.gather(*(ask(replica) for _ in range(9)))
        assert max(model_of(replica).batches) == largest


@pytest.mark.parametrize(
    "setting",
    [
        {"max_batch_image": 3},
        {"max_batch_images": 0},
        {"thresholds": {"score": 0.5}},
        {"thresholds": {"face_threshold": 7}},
    ],
)
async def test_wrong_settings_are_refused_and_change_nothing(replica: Replica, setting: dict[str, object]) -> None:
    before = replica.settings
    with pytest.raises(ValueError, match=r"max_batch_image|score|thresholds"):
        replica.reconfigure(setting)
    assert replica.settings == before


async def test_an_expired_call_never_runs(replica: Replica) -> None:
    model_of(replica).batches.clear()
    with pytest.raises(CallExpired):
        await ask(replica, deadline_s=-1)
    assert model_of(replica).batches == []


async def test_closed_means_overloaded(replica: Replica) -> None:
    await replica.close()
    with pytest.raises(ReplicaOverloaded):
        await ask(replica)


async def test_health_runs_the_network(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.replica.HEALTH_INTERVAL_S", 0.0)
    model_of(replica).batches.clear()
    await replica.check_health()
    assert model_of(replica).batches == [1]
    model_of(replica).broken = True
    with pytest.raises(RuntimeError, match="the device is lost"):
        await replica.check_health()


async def test_a_model_error_reaches_its_caller(replica: Replica) -> None:
    model_of(replica).broken = True
    with pytest.raises(RuntimeError, match="the device is lost"):
        await ask(replica)
    model_of(replica).broken = False
    assert (await ask(replica)).results


class FakeDetector(FakeModel):
    """Finds a box a picture and keeps the options that it was asked with."""

    def __init__(self) -> None:
        super().__init__()
        own = {"task": "object_detection", "labels": ("cup",), "thresholds": {"score_threshold": 0.25}}
        self.card = self.card.model_copy(update=own)
        self.options: list[TaskOptions] = []

    def finish(self, item: Item, raw: float) -> list[Detection]:  # type: ignore[override]
        self.options.append(item.call.options)
        return [Detection(0, "cup", raw, Box(0, 0, item.call.width, item.call.height))]


async def test_a_third_task_has_its_own_options() -> None:
    model = FakeDetector()
    replica = Replica(model)
    try:
        assert model.options == [ObjectDetectionOptions()] * 2
        replica.reconfigure({"thresholds": {"nms_iou": 0.5}})
        call = Call(8, 8, ObjectDetectionOptions(0.75, max_objects=3), time.time() + 10, "test")
        answer = await replica(np.zeros((8, 8, 3), np.uint8), call)
        assert answer.results == [Detection(0, "cup", 0.0, Box(0, 0, 8, 8))]
        assert model.options[-1] == ObjectDetectionOptions(0.75, 0.5, None, 3)
        with pytest.raises(ValueError, match="'face_threshold' for object_detection; known: score_threshold, nms_iou"):
            replica.reconfigure({"thresholds": {"face_threshold": 0.5}})
    finally:
        await replica.close()
