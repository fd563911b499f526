"""Callers who leave, deadlines, and a full queue."""

import asyncio
from time import monotonic

import pytest

from deployments.batching.budget import BatchBudget
from deployments.batching.ticket import DeadlineExceeded, QueueFull
from tests.deployments.batching.devices import (
    PATIENCE_S,
    GatedDevice,
    MakeBatcher,
    Photo,
    Recorder,
    photos,
    settled,
    submitted,
    upper,
)


async def test_cancelled_items_are_dropped_before_the_run(make_batcher: MakeBatcher, device: GatedDevice) -> None:
    recorder = Recorder()
    batcher = make_batcher(device.run, device.collate, observer=recorder)
    tasks = submitted(batcher, photos("a"))
    await device.started()
    tasks += submitted(batcher, photos("bcd"))
    await settled()
    tasks[2].cancel()
    device.release(2)
    assert await device.started() == "bd"
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[2], asyncio.CancelledError)
    assert recorder.drops == ["cancelled"]


async def test_a_collated_batch_is_dropped_once_all_its_callers_left(
    make_batcher: MakeBatcher, device: GatedDevice
) -> None:
    batcher = make_batcher(device.run, device.collate, budget=BatchBudget(2, 10**9))
    first = submitted(batcher, photos("a"))
    await device.started()
    gone = submitted(batcher, photos("bc"))
    last = submitted(batcher, photos("d"))
    await device.collation()
    assert await device.collation() == "bc"
    for task in gone:
        task.cancel()
    device.release(2)
    assert await device.started() == "d"
    await asyncio.gather(*first, *last)


async def test_a_caller_who_leaves_during_the_run_harms_nobody(make_batcher: MakeBatcher, device: GatedDevice) -> None:
    batcher = make_batcher(device.run)
    tasks = submitted(batcher, photos("abc"))
    await device.started()
    tasks[1].cancel()
    await settled()
    device.release()
    answers = await asyncio.gather(tasks[0], tasks[2])
    assert [answer.result for answer in answers] == ["A", "C"]


async def test_an_expired_item_never_runs(make_batcher: MakeBatcher, device: GatedDevice) -> None:
    recorder = Recorder()
    batcher = make_batcher(device.run, observer=recorder)
    with pytest.raises(DeadlineExceeded):
        await batcher.submit(Photo("late"), deadline=monotonic() - 1)
    assert recorder.drops == ["expired"]
    assert recorder.sizes == []


async def test_a_deadline_is_answered_when_it_passes_not_when_the_device_falls_free(
    make_batcher: MakeBatcher, device: GatedDevice
) -> None:
    batcher = make_batcher(device.run, device.collate)
    first = submitted(batcher, photos("a"))
    await device.started()
    with pytest.raises(DeadlineExceeded):
        await asyncio.wait_for(batcher.submit(Photo("b"), deadline=monotonic() + 0.01), PATIENCE_S)
    assert not first[0].done()
    device.release()
    await first[0]
    assert device.collated == ["a"]


async def test_a_deadline_that_passes_during_the_run_is_not_held_against_the_item(
    make_batcher: MakeBatcher, device: GatedDevice
) -> None:
    batcher = make_batcher(device.run)
    deadline = monotonic() + 0.2
    task = asyncio.create_task(batcher.submit(Photo("a"), deadline))
    await device.started()
    passed = asyncio.Event()
    asyncio.get_running_loop().call_later(deadline - monotonic() + 0.01, passed.set)
    await passed.wait()
    device.release()
    assert (await task).result == "A"


async def test_a_full_queue_refuses_and_recovers(make_batcher: MakeBatcher, device: GatedDevice) -> None:
    recorder = Recorder()
    batcher = make_batcher(device.run, max_queue=2, observer=recorder)
    tasks = submitted(batcher, photos("a"))
    await device.started()
    tasks += submitted(batcher, photos("bc"))
    await settled()
    with pytest.raises(QueueFull, match="2 items"):
        await batcher.submit(Photo("d"))
    assert recorder.drops == ["rejected"]
    device.release(3)
    await asyncio.gather(*tasks)
    assert (await batcher.submit(Photo("e"))).result == "E"


async def test_an_item_whose_shape_fails_is_refused_alone(make_batcher: MakeBatcher) -> None:
    batcher = make_batcher(upper)
    with pytest.raises(AttributeError):
        await batcher.submit("not a photo")  # type: ignore[arg-type]
    assert (await batcher.submit(Photo("a"))).result == "A"
