"""What goes into a batch, and how a batcher ends."""

import asyncio
import threading
from typing import Any

import pytest

from deployments.batching.batcher import Batcher
from deployments.batching.budget import BatchBudget
from deployments.batching.observer import BatchObserver
from deployments.batching.ticket import BatcherClosed
from tests.deployments.batching.devices import (
    PATIENCE_S,
    GatedDevice,
    MakeBatcher,
    Photo,
    Recorder,
    photos,
    settled,
    shape_of,
    submit_all,
    submitted,
    upper,
)

# Batches


async def test_a_lone_item_runs_at_once(make_batcher: MakeBatcher) -> None:
    outcome = await make_batcher(upper).submit(Photo("a"))
    assert outcome.result == "A"
    assert outcome.batch_size == 1
    assert outcome.queue_s >= 0
    assert outcome.run_s >= 0


async def test_callers_who_come_together_share_a_batch(make_batcher: MakeBatcher) -> None:
    recorder = Recorder()
    assert await submit_all(make_batcher(upper, observer=recorder), photos("abcde")) == list("ABCDE")
    assert recorder.sizes == [5]


async def test_free_lanes_share_what_waits(make_batcher: MakeBatcher, device: GatedDevice) -> None:
    batcher = make_batcher(device.run, device.collate, lanes=2, budget=BatchBudget(3, 10**9))
    tasks = submitted(batcher, photos("abc"))
    assert [await device.started(), await device.started()] == ["ab", "c"]
    # Both are busy: a batch that is not full waits, a full one is collated ahead.
    tasks += submitted(batcher, photos("de"))
    await settled()
    assert device.collated == ["ab", "c"]
    tasks += submitted(batcher, photos("fg"))
    await settled()
    device.release()
    assert await device.started() == "def"
    device.release(3)
    assert await device.started() == "g"
    assert [outcome.result for outcome in await asyncio.gather(*tasks)] == list("ABCDEFG")


async def test_a_run_in_one_lane_ends_before_an_earlier_one_in_another(make_batcher: MakeBatcher) -> None:
    slow = threading.Event()

    def run(batch: list[Photo]) -> list[str]:
        if batch[0].name == "a":
            assert slow.wait(PATIENCE_S)
        return upper(batch)

    batcher = make_batcher(run, lanes=2, budget=BatchBudget(1, 10**9))
    (first,) = submitted(batcher, photos("a"))
    assert await submit_all(batcher, photos("bcd")) == list("BCD")
    assert not first.done()
    slow.set()
    assert (await first).result == "A"


async def test_everything_that_arrives_during_a_run_goes_into_the_next(
    make_batcher: MakeBatcher, device: GatedDevice
) -> None:
    batcher = make_batcher(device.run, device.collate)
    first = submitted(batcher, photos("a"))
    assert await device.started() == "a"
    early = submitted(batcher, photos("bc"))
    await settled()
    late = submitted(batcher, photos("def"))
    await settled()
    device.release(2)
    assert await device.started() == "bcdef"
    outcomes = await asyncio.gather(*first, *early, *late)
    assert [outcome.result for outcome in outcomes] == list("ABCDEF")
    assert [outcome.batch_size for outcome in outcomes] == [1, 5, 5, 5, 5, 5]


async def test_a_full_batch_is_collated_while_the_device_runs(make_batcher: MakeBatcher, device: GatedDevice) -> None:
    batcher = make_batcher(device.run, device.collate, budget=BatchBudget(3, 10**9))
    tasks = submitted(batcher, photos("abc"))
    assert await device.started() == "abc"
    assert await device.collation() == "abc"
    tasks += submitted(batcher, photos("defghi"))
    # The device is still held, yet the next batch is collated; the one after it is not.
    assert await device.collation() == "def"
    await settled()
    assert device.collated == ["abc", "def"]
    device.release(3)
    assert [outcome.result for outcome in await asyncio.gather(*tasks)] == list("ABCDEFGHI")
    assert device.collated == ["abc", "def", "ghi"]


async def test_a_batch_that_can_still_grow_is_not_collated_ahead(
    make_batcher: MakeBatcher, device: GatedDevice
) -> None:
    batcher = make_batcher(device.run, device.collate, budget=BatchBudget(3, 10**9))
    tasks = submitted(batcher, photos("a"))
    await device.started()
    tasks += submitted(batcher, photos("bc"))
    await settled()
    assert device.collated == ["a"]
    tasks += submitted(batcher, photos("d"))
    await device.collation()
    assert await device.collation() == "bcd"
    device.release(2)
    await asyncio.gather(*tasks)


@pytest.mark.parametrize(
    ("budget", "sizes"),
    [
        (BatchBudget(4, 10**9), [4, 3]),
        (BatchBudget(100, 250), [2, 2, 2, 1]),
        (BatchBudget(100, 100), [1] * 7),
        (BatchBudget(100, 99), [1] * 7),
    ],
)
async def test_batches_keep_to_the_budget(make_batcher: MakeBatcher, budget: BatchBudget, sizes: list[int]) -> None:
    recorder = Recorder()
    batcher = make_batcher(upper, budget=budget, observer=recorder)
    assert await submit_all(batcher, photos("abcdefg")) == list("ABCDEFG")
    assert recorder.sizes == sizes


async def test_shapes_do_not_mix_and_the_oldest_item_goes_first(make_batcher: MakeBatcher) -> None:
    ran: list[str] = []

    def run(batch: list[Photo]) -> list[str]:
        ran.append("".join(item.name for item in batch))
        return upper(batch)

    batcher = make_batcher(run, budget=BatchBudget(3, 10**9))
    shapes = {"w": (10, 20), "t": (20, 10)}
    items = [Photo(name, shapes["w" if name.islower() else "t"]) for name in "abcXdefYgh"]
    assert await submit_all(batcher, items) == [item.name.upper() for item in items]
    assert ran == ["abc", "XY", "def", "gh"]


async def test_a_rare_shape_does_not_starve_under_a_flood(make_batcher: MakeBatcher, device: GatedDevice) -> None:
    batcher = make_batcher(device.run, device.collate, budget=BatchBudget(2, 10**9))
    tasks = submitted(batcher, photos("ab"))
    await device.started()
    tasks += submitted(batcher, [*photos("cd"), Photo("X", (20, 20))])
    for flood in ("ef", "gh", "ij"):
        tasks += submitted(batcher, photos(flood))
    device.release(6)
    assert [await device.started() for _ in range(5)] == ["cd", "X", "ef", "gh", "ij"]
    await asyncio.gather(*tasks)


async def test_the_budget_changes_at_run_time(make_batcher: MakeBatcher, device: GatedDevice) -> None:
    batcher = make_batcher(device.run, device.collate, budget=BatchBudget(4, 10**9))
    tasks = submitted(batcher, photos("a"))
    await device.started()
    tasks += submitted(batcher, photos("bcde"))
    await device.collation()
    assert await device.collation() == "bcde"
    batcher.budget = BatchBudget(3, 10**9)
    device.release(3)
    # The batch collated under the old budget is not run.
    assert [await device.started() for _ in range(2)] == ["bcd", "e"]
    assert [outcome.result for outcome in await asyncio.gather(*tasks)] == list("ABCDE")


@pytest.mark.parametrize(("images", "pixels"), [(0, 1), (1, 0), (-1, 5)])
def test_an_empty_budget_is_refused(images: int, pixels: int) -> None:
    with pytest.raises(ValueError, match="at least one image"):
        BatchBudget(images, pixels)


# The end


async def test_close_finishes_what_was_accepted_and_refuses_the_rest(
    make_batcher: MakeBatcher, device: GatedDevice
) -> None:
    threads = set(threading.enumerate())
    batcher = make_batcher(device.run, device.collate, budget=BatchBudget(2, 10**9))
    tasks = submitted(batcher, photos("abcdefg"))
    await device.started()
    closing = [asyncio.create_task(batcher.close()) for _ in range(2)]
    await settled()
    with pytest.raises(BatcherClosed):
        await batcher.submit(Photo("x"))
    assert not any(task.done() for task in closing)
    device.release(4)
    await asyncio.wait_for(asyncio.gather(*closing), PATIENCE_S)
    assert [task.result().result for task in tasks] == list("ABCDEFG")
    await batcher.close()
    assert set(threading.enumerate()) <= threads
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_close_ends_though_all_callers_left(make_batcher: MakeBatcher, device: GatedDevice) -> None:
    batcher = make_batcher(device.run, budget=BatchBudget(2, 10**9))
    tasks = submitted(batcher, photos("abcdef"))
    await device.started()
    closing = asyncio.create_task(batcher.close())
    await settled()
    for task in tasks:
        task.cancel()
    await settled()
    assert not closing.done()
    device.release()
    await asyncio.wait_for(closing, PATIENCE_S)
    assert all(task.cancelled() for task in tasks)


async def test_close_that_is_cancelled_can_be_called_again(make_batcher: MakeBatcher, device: GatedDevice) -> None:
    batcher = make_batcher(device.run)
    task = submitted(batcher, photos("a"))[0]
    await device.started()
    closing = asyncio.create_task(batcher.close())
    await settled()
    closing.cancel()
    device.release()
    await asyncio.wait_for(batcher.close(), PATIENCE_S)
    assert (await task).result == "A"


async def test_a_batcher_that_was_never_used_closes(make_batcher: MakeBatcher) -> None:
    batcher = make_batcher(upper)
    await asyncio.wait_for(batcher.close(), PATIENCE_S)
    with pytest.raises(BatcherClosed):
        await batcher.submit(Photo("a"))


def test_may_be_built_outside_a_loop() -> None:
    batcher: Batcher[Photo, list[Photo], str] = Batcher(list, upper, shape_of, BatchBudget(8, 10**9))

    async def use() -> list[str]:
        answers = await submit_all(batcher, photos("ab"))
        await batcher.close()
        return answers

    assert asyncio.run(use()) == ["A", "B"]


class BrokenMetrics(BatchObserver):
    def batch_ran(self, batch: int, items: Any, waits_s: Any, run_s: float) -> None:
        raise RuntimeError("no metrics")


async def test_callers_are_told_when_the_batcher_itself_breaks(make_batcher: MakeBatcher, device: GatedDevice) -> None:
    batcher = make_batcher(device.run, budget=BatchBudget(2, 10**9), observer=BrokenMetrics())
    tasks = submitted(batcher, photos("abcde"))
    await device.started()
    device.release()
    answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE_S)
    assert all(isinstance(answer, BatcherClosed) for answer in answers)
    assert len({id(answer) for answer in answers}) == 5
    with pytest.raises(BatcherClosed) as refusal:
        await batcher.submit(Photo("x"))
    assert isinstance(refusal.value.__cause__, RuntimeError)


async def test_callers_are_told_when_no_thread_starts(
    make_batcher: MakeBatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(asyncio.get_running_loop(), "run_in_executor", refuse)
    answers = await submit_all(make_batcher(upper), photos("ab"))
    assert [type(answer) for answer in answers] == [BatcherClosed, BatcherClosed]


# Timing and metrics


async def test_outcomes_and_metrics_tell_waits_runs_and_sizes(make_batcher: MakeBatcher, device: GatedDevice) -> None:
    recorder = Recorder()
    batcher = make_batcher(device.run, observer=recorder)
    tasks = submitted(batcher, photos("a"))
    await device.started()
    tasks += submitted(batcher, photos("bcd"))
    await settled()
    assert recorder.queue[-1] == 3
    device.release(2)
    outcomes = await asyncio.gather(*tasks)
    assert recorder.sizes == [1, 3]
    assert recorder.queue[-1] == 0
    assert recorder.waits_s == [outcome.queue_s for outcome in outcomes]
    assert recorder.runs_s == [outcomes[0].run_s, outcomes[1].run_s]
    # The second batch waited for the first, which is in its queue time.
    assert outcomes[0].run_s > 0
    assert recorder.failures == []
    assert recorder.drops == []
