"""Random schedules of arrivals, faults and departures in simulated time, checked against what a batcher promises."""

import asyncio
import logging
import selectors
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, TypeVar

import pytest

import deployments.batching.batcher
import deployments.batching.ticket
from deployments.batching.attempt import BatchError
from deployments.batching.batcher import Batcher
from deployments.batching.budget import BatchBudget
from deployments.batching.observer import BatchObserver
from deployments.batching.ticket import BatcherClosed, DeadlineExceeded, Outcome, QueueFull

Returned = TypeVar("Returned")

SCHEDULES = 10_000
BULKS = 20
CLOSE_AFTER = 1e6


class Stuck(Exception):
    """Somebody waits, and nothing will ever happen."""


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next event. A call in an executor occupies it for a random while."""

    def __init__(self) -> None:
        self.now = 0.0
        self.random = Random(0)
        self._free_at: dict[int, list[float]] = {}
        loop = self

        class JumpingSelector(selectors.DefaultSelector):
            def select(self, timeout: float | None = None) -> Any:
                if timeout is None:
                    raise Stuck
                loop.now += timeout
                return []

        super().__init__(JumpingSelector())

    def time(self) -> float:
        return self.now

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        assert isinstance(executor, ThreadPoolExecutor)
        busy = [when for when in self._free_at.get(id(executor), []) if when > self.now]
        assert len(busy) < executor._max_workers, "more calls at once than threads"
        duration = self.random.choice([0.0, 0.1, 1.0, self.random.random() * 3])
        self._free_at[id(executor)] = [*busy, self.now + duration]
        future = self.create_future()
        try:
            value = func(*args)
        except Exception as error:
            self.call_later(duration, future.set_exception, error)
        else:
            self.call_later(duration, future.set_result, value)
        return future


class CulpritError(Exception):
    pass


@dataclass(eq=False)
class Item:
    number: int
    shape: tuple[int, int]
    fault: Literal["none", "collate", "run", "short"]
    arrives: float
    deadline: float | None
    leaves: float | None
    left: bool = False
    collated: bool = False
    answers: int = 0
    ended: BaseException | Outcome[int] | None = None


class Schedule(BatchObserver):
    """A random schedule, the device it runs on, and what the device and the observer saw."""

    def __init__(self, seed: int, loop: SimulatedLoop) -> None:
        self.loop = loop
        self.random = loop.random = Random(seed)
        start, spread = loop.now, self.random.choice([0.0, 1.0, 10.0])
        fault_rate, haste = self.random.choice([0, 0.1, 0.5]), self.random.choice([0, 0.1, 0.4])
        self.items = [
            self._item(number, start, spread, fault_rate, haste) for number in range(self.random.randint(1, 20))
        ]
        self.memory_pixels = self.random.choice([10**9, 500, 200])
        self.max_queue = self.random.choice([3, 100])
        self.closes = start + self.random.choice([CLOSE_AFTER, self.random.uniform(0, spread)])
        self.budgets = [
            (start + self.random.uniform(0, spread), self._budget()) for _ in range(self.random.choice([0, 2]))
        ]
        self.collations = 0
        self.broken_promises: list[AssertionError] = []
        self.runs: list[int] = []
        self.present: list[Item] = []
        self.queue_length = 0
        self.drops: list[str] = []
        self.failures = 0
        self.batcher = Batcher(
            self._watched(self.collate),
            self._watched(self.run),
            lambda item: item.shape,
            self._budget(),
            lanes=self.random.choice([1, 1, 2, 3]),
            max_queue=self.max_queue,
            observer=self,
        )

    def _item(self, number: int, start: float, spread: float, fault_rate: float, haste: float) -> Item:
        random = self.random
        arrives = start + random.uniform(0, spread)
        return Item(
            number,
            shape=random.choice([(10, 10), (10, 20), (30, 10)]),
            fault=random.choice(["collate", "run", "short"]) if random.random() < fault_rate else "none",
            arrives=arrives,
            deadline=arrives + random.uniform(-0.1, 4) if random.random() < haste else None,
            leaves=arrives + random.uniform(0, 4) if random.random() < haste else None,
        )

    def _budget(self) -> BatchBudget:
        return BatchBudget(self.random.randint(1, 8), self.random.choice([50, 400, 10**9]))

    def _watched(self, function: Callable[[list[Item]], Returned]) -> Callable[[list[Item]], Returned]:
        """Notes failed assertions, which the batcher takes for faults of the device."""

        def watched(items: list[Item]) -> Returned:
            try:
                return function(items)
            except AssertionError as error:
                self.broken_promises.append(error)
                raise

        return watched

    # The device

    def collate(self, items: list[Item]) -> list[Item]:
        self.collations += 1
        assert items
        assert len({item.shape for item in items}) == 1
        assert all(not item.left and item.ended is None for item in items), "an item that nobody waits for"
        assert all(item.deadline is None or self.loop.now < item.deadline for item in items)
        self._check_order(items)
        for item in items:
            item.collated = True
        if any(item.fault == "collate" for item in items):
            raise CulpritError(*(item.number for item in items))
        return items

    def _check_order(self, items: list[Item]) -> None:
        places = [self.present.index(item) for item in items]
        assert places == sorted(places)
        if items[0].collated:
            assert all(item.collated for item in items), "a retry takes in new items"
            return
        new = [
            item
            for item in self.present
            if not (item.collated or item.left or item.ended)
            and (item.deadline is None or self.loop.now < item.deadline)
        ]
        assert items[0] is new[0], "the oldest goes first"
        assert items == [item for item in new if item.shape == items[0].shape][: len(items)], "no item is passed over"

    def run(self, items: list[Item]) -> list[int]:
        self.runs.append(len(items))
        height, width = items[0].shape
        assert len(items) <= self.batcher.budget.capacity((height, width))
        assert any(not item.left and item.ended is None for item in items), "a run for nobody"
        if len(items) * height * width > self.memory_pixels:
            raise MemoryError
        if any(item.fault == "run" for item in items):
            raise CulpritError(*(item.number for item in items))
        if any(item.fault == "short" for item in items):
            return []
        for item in items:
            item.answers += 1
        return [item.number for item in items]

    # The observer

    def queue_changed(self, length: int) -> None:
        self.queue_length = length

    def batch_ran(self, batch: int, items: Any, waits_s: Any, run_s: float) -> None:
        self.runs.remove(len(waits_s))  # of those under way, one has as many
        assert all(wait_s >= 0 for wait_s in waits_s)

    def dropped(self, reason: str) -> None:
        self.drops.append(reason)

    def failed(self, error: BaseException) -> None:
        self.failures += 1

    # The callers

    async def play(self) -> None:
        callers = [asyncio.create_task(self._call(item)) for item in self.items]
        closer = asyncio.create_task(self._close(callers))
        for when, budget in self.budgets:
            self.loop.call_at(when, setattr, self.batcher, "budget", budget)
        await asyncio.gather(*callers, return_exceptions=True)
        await closer
        await asyncio.sleep(10)  # A second answer to anyone would come by now.
        assert asyncio.all_tasks() == {asyncio.current_task()}
        self._check()

    async def _call(self, item: Item) -> None:
        await asyncio.sleep(item.arrives - self.loop.now)
        call = asyncio.create_task(self.batcher.submit(item, item.deadline))
        if item.leaves is not None:
            self.loop.call_at(item.leaves, self._leave, item, call)
        self.present.append(item)
        try:
            item.ended = await call
        except (Exception, asyncio.CancelledError) as error:
            item.ended = error

    def _leave(self, item: Item, call: asyncio.Task[Outcome[int]]) -> None:
        item.left = call.cancel()

    async def _close(self, callers: list[asyncio.Task[None]]) -> None:
        if self.closes - self.loop.now < CLOSE_AFTER:
            await asyncio.sleep(self.closes - self.loop.now)
        else:
            await asyncio.wait(callers)
        await self.batcher.close()
        with pytest.raises(BatcherClosed):
            await self.batcher.submit(self.items[0])

    def _check(self) -> None:
        assert not self.broken_promises
        for item in self.items:
            self._check_end(item)
        kinds = [type(item.ended) for item in self.items]
        assert self.drops.count("rejected") == kinds.count(QueueFull)
        assert self.drops.count("expired") == kinds.count(DeadlineExceeded)
        assert self.drops.count("cancelled") <= kinds.count(asyncio.CancelledError)
        assert self.failures == sum(kinds.count(kind) for kind in (CulpritError, MemoryError, BatchError))
        assert self.queue_length == 0
        assert self.collations <= 2 * len(self.items)

    def _check_end(self, item: Item) -> None:
        match item.ended:
            case Outcome():
                assert item.fault == "none"
                assert item.ended.result == item.number, "another item's answer"
                assert 1 <= item.ended.batch_size <= 8
                assert item.answers == 1
            case asyncio.CancelledError():
                assert item.left
            case DeadlineExceeded():
                assert item.deadline is not None
                assert self.loop.now >= item.deadline
                assert item.answers <= 1
            case BatcherClosed():
                assert item.ended.__cause__ is None, "it broke"
                assert item.arrives >= self.closes
                assert not item.collated
            case QueueFull():
                assert self.max_queue == 3
                assert not item.collated
            case CulpritError():
                assert item.fault in ("collate", "run")
                assert item.ended.args == (item.number,), "a failure of others"
            case MemoryError():
                assert item.shape[0] * item.shape[1] > self.memory_pixels
            case _:
                assert isinstance(item.ended, BatchError)
                assert item.fault == "short"


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedLoop]:
    loop = SimulatedLoop()
    for module in (deployments.batching.batcher, deployments.batching.ticket):
        monkeypatch.setattr(module, "monotonic", loop.time)
    yield loop
    loop.close()


@pytest.mark.parametrize("bulk", range(BULKS))
def test_random_schedules(bulk: int, loop: SimulatedLoop) -> None:
    logging.getLogger("deployments.batching.batcher").setLevel(logging.ERROR)
    for seed in range(bulk, SCHEDULES, BULKS):
        try:
            loop.run_until_complete(Schedule(seed, loop).play())
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
