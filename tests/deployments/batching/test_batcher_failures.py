"""A batch or a device that fails, runs out of memory, or hangs."""

import asyncio
import gc
import itertools
import threading
import weakref
from time import monotonic
from typing import Any

import pytest

from deployments.batching.attempt import BatchError
from deployments.batching.budget import BatchBudget
from deployments.batching.ticket import Hung
from tests.deployments.batching.devices import (
    PATIENCE_S,
    GatedDevice,
    MakeBatcher,
    Photo,
    Recorder,
    photos,
    settled,
    submit_all,
    submitted,
    upper,
)

# Failures


class Culprit(Exception):
    pass


@pytest.mark.parametrize("bad_count", [1, 2, 3])
@pytest.mark.parametrize("stage", ["collate", "run"])
async def test_only_the_culprits_fail(make_batcher: MakeBatcher, bad_count: int, stage: str) -> None:
    bad: set[str] = set()
    attempts: list[str] = []

    def check(items: list[Photo]) -> list[Photo]:
        attempts.append("".join(item.name for item in items))
        if culprits := [item.name for item in items if item.name in bad]:
            raise Culprit("".join(culprits))
        return items

    batcher = make_batcher(*((upper, check) if stage == "collate" else (lambda batch: upper(check(batch)),)))
    for combination in itertools.combinations("abcdefgh", bad_count):
        bad = set(combination)
        attempts.clear()
        answers = await submit_all(batcher, photos("abcdefgh"))
        for name, answer in zip("abcdefgh", answers, strict=True):
            if name in bad:
                assert isinstance(answer, Culprit)
                assert str(answer) == name
            else:
                assert answer == name.upper()
        assert len(attempts) <= 2 * 8 - 1
        assert attempts[0] == "abcdefgh"


async def test_a_device_that_always_fails_is_not_tried_without_end(make_batcher: MakeBatcher) -> None:
    recorder = Recorder()

    def run(batch: list[Photo]) -> list[str]:
        raise Culprit

    batcher = make_batcher(run, observer=recorder)
    answers = await submit_all(batcher, photos("abcdefgh"))
    assert all(isinstance(answer, Culprit) for answer in answers)
    assert len(recorder.sizes) == 15
    assert len(recorder.failures) == 8


@pytest.mark.parametrize("results", [[], ["too", "many", "results", "here"], None, 7])
async def test_wrong_results_are_an_error_of_the_batch(make_batcher: MakeBatcher, results: Any) -> None:
    def run(batch: list[Photo]) -> Any:
        return results if any(item.name == "x" for item in batch) else upper(batch)

    answers = await submit_all(make_batcher(run), photos("axb"))
    assert [answers[0], answers[2]] == ["A", "B"]
    assert isinstance(answers[1], BatchError if isinstance(results, list) else TypeError)


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), SystemExit(1), KeyboardInterrupt(), GeneratorExit(), StopIteration()]
)
@pytest.mark.parametrize("stage", ["collate", "run"])
async def test_odd_exceptions_do_not_hang_callers(make_batcher: MakeBatcher, error: BaseException, stage: str) -> None:
    def check(items: list[Photo]) -> list[Photo]:
        if any(item.name == "x" for item in items):
            raise error
        return items

    batcher = make_batcher(*((upper, check) if stage == "collate" else (lambda batch: upper(check(batch)),)))
    answers = await submit_all(batcher, photos("axb"))
    assert [answers[0], answers[2]] == ["A", "B"]
    assert isinstance(answers[1], BatchError)
    assert answers[1].__cause__ is error


async def test_retries_skip_callers_who_left(make_batcher: MakeBatcher, device: GatedDevice) -> None:
    def run(batch: list[Photo]) -> list[str]:
        results = device.run(batch)
        if any(item.name == "x" for item in batch):
            raise Culprit
        return results

    batcher = make_batcher(run)
    tasks = submitted(batcher, photos("abxd"))
    assert await device.started() == "abxd"
    tasks[1].cancel()
    tasks[2].cancel()
    await settled()
    device.release(3)
    assert [await device.started() for _ in range(2)] == ["a", "d"]
    answers = await asyncio.gather(tasks[0], tasks[3])
    assert [answer.result for answer in answers] == ["A", "D"]


async def test_a_failed_item_is_freed_at_once(make_batcher: MakeBatcher) -> None:
    def run(batch: list[Photo]) -> list[str]:
        raise Culprit

    batcher = make_batcher(run)
    photo = Photo("a")
    alive = weakref.ref(photo)
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(Culprit):
            await batcher.submit(photo, deadline=monotonic() + 1000)
        del photo
        await settled()
        assert alive() is None
    finally:
        gc.enable()


# Out of memory


class Activations:
    pass


async def test_out_of_memory_halves_the_budget_until_it_is_set_again(make_batcher: MakeBatcher) -> None:
    recorder = Recorder()

    def run(batch: list[Photo]) -> list[str]:
        if len(batch) > 2:
            raise MemoryError
        return upper(batch)

    batcher = make_batcher(run, budget=BatchBudget(8, 8000), observer=recorder)
    assert await submit_all(batcher, photos("abcdefgh")) == list("ABCDEFGH")
    assert recorder.sizes == [8, 4, 2, 2, 2, 2]
    assert batcher.budget == BatchBudget(2, 2000)
    assert await submit_all(batcher, photos("abcd")) == list("ABCD")
    assert recorder.sizes[6:] == [2, 2]
    batcher.budget = BatchBudget(8, 8000)
    assert await submit_all(batcher, photos("abc")) == list("ABC")
    assert recorder.sizes[8:] == [3, 2, 1]
    assert recorder.failures == []


async def test_out_of_memory_keeps_the_order(make_batcher: MakeBatcher, device: GatedDevice) -> None:
    ran: list[str] = []

    def run(batch: list[Photo]) -> list[str]:
        results = device.run(batch)
        if len(batch) > 2:
            raise MemoryError
        ran.extend(item.name for item in batch)
        return results

    batcher = make_batcher(run, device.collate)
    tasks = submitted(batcher, photos("abcdefghijklmnop"))
    await device.collation()
    # Collated ahead, for a budget that will not last.
    assert await device.collation() == "ijklmnop"
    device.release(100)
    await asyncio.gather(*tasks)
    assert ran == list("abcdefghijklmnop")


async def test_an_item_that_runs_out_of_memory_alone_fails_and_costs_others_nothing(make_batcher: MakeBatcher) -> None:
    def run(batch: list[Photo]) -> list[str]:
        if any(item.shape == (1000, 1000) for item in batch):
            raise MemoryError
        return upper(batch)

    batcher = make_batcher(run)
    answers = await submit_all(batcher, [*photos("ab"), Photo("huge", (1000, 1000))])
    assert answers[:2] == ["A", "B"]
    assert isinstance(answers[2], MemoryError)
    assert batcher.budget == BatchBudget(8, 10**9)


async def test_the_budget_never_falls_below_one_image(make_batcher: MakeBatcher) -> None:
    def run(batch: list[Photo]) -> list[str]:
        raise MemoryError

    batcher = make_batcher(run, budget=BatchBudget(4, 3))
    batcher.budget = BatchBudget(4, 400)
    for _ in range(3):
        answers = await submit_all(batcher, photos("abcd"))
        assert all(isinstance(answer, MemoryError) for answer in answers)
    assert batcher.budget.max_images >= 1
    assert batcher.budget.capacity((10, 10)) == 1


async def test_an_error_that_is_kept_keeps_no_tensors(make_batcher: MakeBatcher) -> None:
    activations: list[weakref.ref[Activations]] = []

    def forward() -> None:
        layer = Activations()
        activations.append(weakref.ref(layer))
        raise RuntimeError("out of memory")

    def run(batch: list[Photo]) -> list[str]:
        try:
            forward()
        except RuntimeError as error:
            raise MemoryError from error
        return []

    errors = await submit_all(make_batcher(run), photos("ab"))
    assert [type(error) for error in errors] == [MemoryError, MemoryError]
    assert [activation() for activation in activations] == [None, None, None]


# A device that hangs


async def test_a_batch_that_does_not_end_fails_and_those_behind_it_wait(
    make_batcher: MakeBatcher, device: GatedDevice
) -> None:
    batcher = make_batcher(device.run)
    batcher.call_limit_s = 0.01
    for hung in submitted(batcher, photos("ab"), deadline=monotonic() + PATIENCE_S):
        with pytest.raises(Hung):
            await hung
    batcher.call_limit_s = PATIENCE_S
    patient = asyncio.create_task(batcher.submit(Photo("c"), monotonic() + PATIENCE_S))
    with pytest.raises(Hung):
        await batcher.submit(Photo("d"))
    device.release(100)
    assert (await patient).result == "C"
    assert (await batcher.submit(Photo("e"))).result == "E"


async def test_what_has_no_deadline_does_not_wait_for_a_hung_device(
    make_batcher: MakeBatcher, device: GatedDevice
) -> None:
    batcher = make_batcher(device.run, lanes=2)
    batcher.call_limit_s = 0.01
    first = asyncio.create_task(batcher.submit(Photo("a"), monotonic() + PATIENCE_S))
    await device.started()
    batcher.call_limit_s = PATIENCE_S
    other = asyncio.create_task(batcher.submit(Photo("b")))
    await device.started()
    for task in (first, other):
        with pytest.raises(Hung):
            await task
    device.release(100)


async def test_collation_may_hang_too(make_batcher: MakeBatcher) -> None:
    gate = threading.Event()

    def collate(items: list[Photo]) -> list[Photo]:
        assert gate.wait(PATIENCE_S)
        return items

    batcher = make_batcher(upper, collate)
    batcher.call_limit_s = 0.01
    with pytest.raises(Hung):
        await batcher.submit(Photo("a"), monotonic() + PATIENCE_S)
    gate.set()
