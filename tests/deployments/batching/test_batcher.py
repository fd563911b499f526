import asyncio
import gc
import itertools
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import pytest

from deployments.batching.attempt import BatchError
from deployments.batching.batcher import Batcher
from deployments.batching.budget import BatchBudget
from deployments.batching.observer import BatchObserver
from deployments.batching.ticket import BatcherClosed, DeadlineExceeded, Hung, QueueFull

PATIENCE_S = 20
"""After which a test that waits for a thread is lost."""


@dataclass(frozen=True)
class Photo:
    name: str
    shape: tuple[int, int] = (10, 10)


def shape_of(photo: Photo) -> tuple[int, int]:
    return photo.shape


def photos(names: str, shape: tuple[int, int] = (10, 10)) -> list[Photo]:
    return [Photo(name, shape) for name in names]


class GatedDevice:
    """Announces each run to the test and holds it until the test lets it end."""

    def __init__(self) -> None:
        self.collated: list[str] = []
        self._loop = asyncio.get_running_loop()
        self._started: asyncio.Queue[str] = asyncio.Queue()
        self._collations: asyncio.Queue[str] = asyncio.Queue()
        self._gate = threading.Semaphore(0)

    def collate(self, items: list[Photo]) -> list[Photo]:
        names = "".join(item.name for item in items)
        self.collated.append(names)
        self._loop.call_soon_threadsafe(self._collations.put_nowait, names)
        return items

    def run(self, batch: list[Photo]) -> list[str]:
        self._loop.call_soon_threadsafe(self._started.put_nowait, "".join(item.name for item in batch))
        assert self._gate.acquire(timeout=PATIENCE_S)
        return [item.name.upper() for item in batch]

    async def started(self) -> str:
        """The names of the next batch to start."""
        return await asyncio.wait_for(self._started.get(), PATIENCE_S)

    async def collation(self) -> str:
        return await asyncio.wait_for(self._collations.get(), PATIENCE_S)

    def release(self, runs: int = 1) -> None:
        self._gate.release(runs)


@dataclass
class Recorder(BatchObserver):
    queue: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    runs_s: list[float] = field(default_factory=list)
    drops: list[str] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    def queue_changed(self, length: int) -> None:
        self.queue.append(length)

    def batch_ran(self, batch: int, items: Any, waits_s: Any, run_s: float) -> None:
        self.sizes.append(len(waits_s))
        self.waits_s.extend(waits_s)
        self.runs_s.append(run_s)

    def dropped(self, reason: str) -> None:
        self.drops.append(reason)

    def failed(self, error: BaseException) -> None:
        self.failures.append(error)


MakeBatcher = Callable[..., Batcher[Photo, Any, Any]]


@pytest.fixture
async def make_batcher() -> AsyncIterator[MakeBatcher]:
    made: list[Batcher[Photo, Any, Any]] = []

    def make(
        run: Callable[[Any], Any], collate: Callable[[list[Photo]], Any] = list, **options: Any
    ) -> Batcher[Photo, Any, Any]:
        budget = options.pop("budget", BatchBudget(8, 10**9))
        made.append(Batcher(collate, run, shape_of, budget, **options))
        return made[-1]

    yield make
    for batcher in made:
        await asyncio.wait_for(batcher.close(), PATIENCE_S)


@pytest.fixture
async def device() -> AsyncIterator[GatedDevice]:
    device = GatedDevice()
    yield device
    device.release(100)


def upper(batch: list[Photo]) -> list[str]:
    return [item.name.upper() for item in batch]


async def submit_all(batcher: Batcher[Photo, Any, Any], items: list[Photo]) -> list[Any]:
    """Results and errors, in order."""
    answers = await asyncio.wait_for(
        asyncio.gather(*map(batcher.submit, items), return_exceptions=True), timeout=PATIENCE_S
    )
    return [answer if isinstance(answer, BaseException) else answer.result for answer in answers]


def submitted(batcher: Batcher[Photo, Any, Any], items: list[Photo], **options: Any) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(batcher.submit(item, **options)) for item in items]


async def settled() -> None:
    """Let every callback that is due run."""
    for _ in range(5):
        await asyncio.sleep(0)


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


# Callers who leave, deadlines, full queue


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
