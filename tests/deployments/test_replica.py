import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest
import torch

from deployments.batching.ticket import Hung
from deployments.calls import (
    Answer,
    Call,
    CallExpired,
    Item,
    MaskDetectionOptions,
    ObjectDetectionOptions,
    OtherModel,
    ReplicaHung,
    ReplicaOverloaded,
    TaskOptions,
)
from deployments.engines.equip import Example
from deployments.engines.finite import NotFinite
from deployments.models.card import ModelCard, card_path, read_card
from deployments.replica import LEAST_CALL_LIMIT_S, SHORTAGES, Replica
from deployments.results import Box, Detection, Face


class FakeModel:
    """Finds one face a picture, as large as the picture, scored by its first pixel."""

    lanes = 1
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.card: ModelCard = read_card(card_path("face_mask"))
        self.batches: list[int] = []
        self.error: Exception | None = None
        self.poisoned = False
        """Whether a picture whose first pixel is 1 raises NotFinite."""
        self.gate: threading.Event | None = None
        """Waited for in each run."""
        self.examples_of: list[tuple[int, ...]] = []

    def examples(self, images: torch.Tensor) -> list[Example]:
        self.examples_of.append(tuple(images.shape))
        return []

    def padded_shape(self, item: Item) -> tuple[int, int]:
        return item.image.shape[0], item.image.shape[1]

    def collate(self, items: list[Item]) -> list[Item]:
        return items

    def run(self, batch: list[Item]) -> list[float]:
        if self.gate is not None:
            assert self.gate.wait(20)
        if self.error is not None:
            raise type(self.error)(*self.error.args)
        if self.poisoned and any(item.image[0, 0, 0] == 1 for item in batch):
            raise NotFinite("the network gave NaN or infinity")
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


LOST = RuntimeError("the device is lost")


async def test_health_runs_an_idle_network(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    model_of(replica).error = LOST
    await replica.check_health()  # it has just been warmed up
    monkeypatch.setattr("deployments.replica.HEALTH_INTERVAL_S", 0.0)
    with pytest.raises(RuntimeError, match="the device is lost"):
        await replica.check_health()
    model_of(replica).error = None
    model_of(replica).batches.clear()
    await replica.check_health()
    assert model_of(replica).batches == [1]


async def test_a_model_error_reaches_its_caller(replica: Replica) -> None:
    model_of(replica).error = LOST
    with pytest.raises(RuntimeError, match="the device is lost"):
        await ask(replica)
    model_of(replica).error = None
    assert (await ask(replica)).results


@pytest.mark.parametrize("error", [LOST, NotFinite("NaN"), MemoryError()])
async def test_a_network_that_fails_on_everything_is_unhealthy_at_once(replica: Replica, error: Exception) -> None:
    model_of(replica).error = error
    with pytest.raises((type(error), ReplicaOverloaded)):
        await ask(replica)
    with pytest.raises(type(error)):
        await replica.check_health()
    model_of(replica).error = None
    await replica.check_health()


async def test_a_picture_that_fails_by_itself_harms_no_replica(replica: Replica) -> None:
    model_of(replica).poisoned = True
    for _ in range(10):
        with pytest.raises(NotFinite):
            await ask(replica, grey=1)
        await replica.check_health()
    answers = await asyncio.gather(*(ask(replica, grey) for grey in (255, 1, 255)), return_exceptions=True)
    assert [isinstance(answer, NotFinite) for answer in answers] == [False, True, False]


async def test_a_fault_between_answers_is_looked_into_once(replica: Replica) -> None:
    model_of(replica).poisoned = True
    with pytest.raises(NotFinite):
        await ask(replica, grey=1)
    await ask(replica)
    model_of(replica).batches.clear()
    await replica.check_health()
    await replica.check_health()
    assert model_of(replica).batches == [1]


async def test_an_image_without_memory_is_refused_and_a_leak_is_found(replica: Replica) -> None:
    shortage = RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    for _ in range(2):
        for _ in range(SHORTAGES - 1):
            model_of(replica).error = shortage
            with pytest.raises(ReplicaOverloaded, match="memory"):
                await ask(replica)
        model_of(replica).error = None
        await replica.check_health()
        await ask(replica)
    model_of(replica).error = shortage
    for _ in range(SHORTAGES):
        with pytest.raises(ReplicaOverloaded):
            await ask(replica)
    model_of(replica).error = None
    with pytest.raises(MemoryError, match=f"{SHORTAGES} images in a row"):
        await replica.check_health()


async def test_a_batch_that_runs_out_of_memory_is_halved(replica: Replica) -> None:
    model = model_of(replica)
    run = model.run

    def small_ones(batch: list[Item]) -> list[float]:
        if len(batch) > 2:
            raise RuntimeError("bad allocation")
        return run(batch)

    model.run = small_ones  # type: ignore[method-assign]
    made = Replica(model)
    try:
        model.batches.clear()
        await asyncio.gather(*(ask(made) for _ in range(8)))
        assert sorted(model.batches) == [2, 2, 2, 2]
        await made.check_health()
    finally:
        await made.close()


async def test_a_network_that_hangs_fails_its_picture_and_its_health(replica: Replica) -> None:
    assert replica._batcher.call_limit_s >= LEAST_CALL_LIMIT_S
    replica._batcher.call_limit_s = 0.01
    gate = model_of(replica).gate = threading.Event()
    with pytest.raises(Hung):
        await ask(replica)
    replica._batcher.call_limit_s = LEAST_CALL_LIMIT_S
    behind = asyncio.create_task(ask(replica))
    await asyncio.sleep(0)
    for _ in range(2):
        with pytest.raises(Hung):
            await replica.check_health()
        with pytest.raises(ReplicaHung):
            await replica.ready()
    gate.set()
    assert (await behind).results
    replica.reconfigure({"thresholds": {"face_threshold": 0.25}})
    assert await replica.ready() == {"face_threshold": 0.25}
    await replica.check_health()


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
