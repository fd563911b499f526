import asyncio
import time
from collections.abc import Callable

import numpy as np
import pytest

from deployments.calls import (
    Call,
    CallExpired,
    Item,
    MaskDetectionOptions,
    ObjectDetectionOptions,
    OtherModel,
    ReplicaOverloaded,
    TaskOptions,
)
from deployments.models.card import ModelCard
from deployments.replica import Replica
from deployments.results import Box, Detection, Face
from tests.deployments.fake_model import FakeModel, ask, model_of


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
    def fastest(run: Callable[[int], object], *_: object, **__: object) -> int:
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


@pytest.mark.parametrize(("lanes", "clock"), [(1, time.perf_counter), (2, time.process_time)])
def test_lanes_measure_batches_by_their_own_cpu_time(
    replica: Replica, lanes: int, clock: Callable[[], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    clocks: list[Callable[[], float]] = []

    def fastest(_: object, __: int, clock: Callable[[], float]) -> int:
        clocks.append(clock)
        return 1

    monkeypatch.setattr("deployments.replica.fastest_batch", fastest)
    model_of(replica).lanes = lanes
    replica.measure_batches()
    assert clocks == [clock]


@pytest.fixture
def two_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of two sizes are expected, and batches of up to two pay."""
    monkeypatch.setattr("deployments.replica.expected_pictures", lambda shape_of: [(8, 8), (8, 16)])
    monkeypatch.setattr("deployments.replica.fastest_batch", lambda *_, **__: 2)


@pytest.mark.usefixtures("two_expected")
async def test_warm_in_every_expected_shape_and_batch_size(replica: Replica) -> None:
    replica.measure_batches()
    model_of(replica).batches.clear()
    replica.warm_up()
    assert model_of(replica).batches == [1, 1, 2, 2]
    assert model_of(replica).examples_of == [(n, 3, 8, side) for n in (1, 2) for side in (8, 16)]


@pytest.mark.usefixtures("two_expected")
async def test_warming_up_ends_where_time_or_memory_does(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    replica.measure_batches()
    model_of(replica).error = RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    replica.warm_up()
    model_of(replica).error = None
    model_of(replica).batches.clear()
    monkeypatch.setattr("deployments.replica.WARM_UP_S", -1.0)
    replica.warm_up()
    assert model_of(replica).batches == []


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


async def test_a_call_for_another_model_never_runs(replica: Replica) -> None:
    card = model_of(replica).card
    picture = np.full((8, 8, 3), 255, np.uint8)
    call = Call(8, 8, MaskDetectionOptions(), time.time() + 10, "test", card=card.digest)
    assert (await replica(picture, call)).results
    model_of(replica).batches.clear()
    model_of(replica).card = card.model_copy(update={"version": "2"})
    with pytest.raises(OtherModel) as other:
        await replica(picture, call)
    assert ModelCard.model_validate_json(other.value.card) == model_of(replica).card
    assert model_of(replica).batches == []


async def test_closed_means_overloaded(replica: Replica) -> None:
    await replica.close()
    with pytest.raises(ReplicaOverloaded):
        await ask(replica)


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
