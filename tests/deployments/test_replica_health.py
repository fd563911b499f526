"""Networks that fail, give no numbers, run out of memory or hang: who is told, and what the health check says."""

import asyncio
import threading

import pytest

from deployments.batching.ticket import Hung
from deployments.calls import (
    Item,
    ReplicaHung,
    ReplicaOverloaded,
)
from deployments.engines.finite import NotFinite
from deployments.replica import LEAST_CALL_LIMIT_S, SHORTAGES, Replica
from tests.deployments.fake_model import ask, model_of

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
