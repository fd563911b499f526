"""Drain-when-free batching for one device in one asyncio process.

When the device falls free, everything that waits with the oldest item's shape goes into one batch, up to the budget.
Nothing waits on a timer: a lone item runs at once, and batches grow by themselves under load. A device of several lanes
runs as many batches at a time, and what waits is shared among those that are free.

A batch is collated ahead, while its predecessor runs, only once it is full: a full batch can gain nothing by waiting,
whereas a smaller one collated early would shut out whatever arrives before the device is free. So collation is hidden
exactly when the device is the bottleneck, and at lower load batches are as large as they can be.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count
from math import ceil, inf, isfinite
from time import monotonic
from typing import Generic, TypeVar

from deployments.batching.attempt import Argument, BatchError, Returned, attempt
from deployments.batching.budget import BatchBudget, Shape
from deployments.batching.observer import BatchObserver
from deployments.batching.ticket import (
    HUNG,
    BatcherClosed,
    DeadlineExceeded,
    Hung,
    Item,
    Outcome,
    QueueFull,
    Result,
    Ticket,
)

logger = logging.getLogger(__name__)

Batch = TypeVar("Batch")


@dataclass(eq=False, slots=True)
class _Run:
    """A batch's time on the device. It knows no item: an error's traceback keeps it, and would keep their memory."""

    number: int
    started: float = 0.0
    ended: float = 0.0


class Batcher(Generic[Item, Batch, Result]):
    """Runs submitted items in batches on one device.

    ``collate(items)`` builds a batch from items of one shape; ``run(batch)`` returns one result an item, in order. Both
    block: ``collate`` on a thread of its own, ``run`` on ``lanes`` threads. ``shape(item)`` is an item's padded
    (height, width) in pixels.

    Batches are formed around the oldest waiting item, so that no shape starves, and keep the order of submission.
    Items whose caller was cancelled or whose deadline passed are dropped before they are collated, and a collated
    batch once nobody waits for any of it.

    A batch that fails in ``collate`` or ``run`` is halved and retried until only the culprits fail: at most 2n - 1
    attempts for n items, fewer as callers leave and deadlines pass. A ``MemoryError`` also halves the
    budget, which stays so until ``budget`` is set; an item that runs out of memory alone just fails.

    A batch whose ``collate`` or ``run`` takes longer than ``call_limit_s`` fails with ``Hung``, and until that call
    ends so does whatever has no deadline. What has one waits on: this device may come back, or the process be replaced.

    May be constructed outside an event loop; belongs to the loop that first submits to it.
    """

    def __init__(
        self,
        collate: Callable[[list[Item]], Batch],
        run: Callable[[Batch], Sequence[Result]],
        shape: Callable[[Item], Shape],
        budget: BatchBudget,
        *,
        lanes: int = 1,
        max_queue: int = 256,
        observer: BatchObserver | None = None,
    ) -> None:
        self.budget = budget
        """May be set at any time, from any thread; holds from the next batch on."""
        self.call_limit_s = inf
        """May be set at any time; holds from the next batch on."""
        self._collate = collate
        self._run = run
        self._shape = shape
        self._lanes = lanes
        self._max_queue = max_queue
        self._observer = observer or BatchObserver()
        self._collator = ThreadPoolExecutor(1, "collate")
        self._device = ThreadPoolExecutor(lanes, "device")
        # A ticket is accepted until its caller has resumed. Meanwhile it passes from waiting, or from retries, through
        # collating and collated, each of which holds one batch at most, to running, which holds one a lane.
        self._accepted: set[Ticket[Item, Result]] = set()
        self._waiting: dict[Ticket[Item, Result], None] = {}
        self._retries: list[list[Ticket[Item, Result]]] = []
        self._collating: list[Ticket[Item, Result]] = []
        self._collated: tuple[list[Ticket[Item, Result]], Batch] | None = None
        self._running: dict[_Run, list[Ticket[Item, Result]]] = {}
        self._hung = 0
        self._closing = False
        self._broken_by: BaseException | None = None
        self._drained = asyncio.Event()
        self._count = count(1)

    @property
    def hung(self) -> bool:
        """Whether a call that should have ended long ago has not."""
        return self._hung > 0

    async def submit(self, item: Item, deadline: float | None = None) -> Outcome[Result]:
        """Wait for the item's result; ``deadline`` is in ``time.monotonic()`` seconds.

        Raises what ``collate`` or ``run`` raised for this item alone, ``DeadlineExceeded`` if the deadline passes
        before it runs, ``Hung``, ``QueueFull``, or ``BatcherClosed``.
        """
        if self._closing:
            raise BatcherClosed("the batcher is closed") from self._broken_by
        if self.hung and deadline is None:
            raise Hung(HUNG)
        if len(self._waiting) >= self._max_queue:
            self._observer.dropped("rejected")
            raise QueueFull(f"{self._max_queue} items are waiting already")
        loop = asyncio.get_running_loop()
        ticket = Ticket[Item, Result](item, self._shape(item), deadline, monotonic(), loop.create_future())
        self._accepted.add(ticket)
        self._waiting[ticket] = None
        # In the loop's next turn, so that callers who come together go together.
        loop.call_soon(self._proceed)
        timer = None if deadline is None else loop.call_later(deadline - ticket.submitted, self._expire, ticket)
        try:
            return await ticket.answer
        except asyncio.CancelledError:
            self._observer.dropped("cancelled")
            raise
        except DeadlineExceeded:
            self._observer.dropped("expired")
            raise
        except Exception as error:
            self._observer.failed(error)
            raise
        finally:
            if timer is not None:
                timer.cancel()
            self._accepted.discard(ticket)
            if self._closing or ticket in self._waiting:
                self._waiting.pop(ticket, None)
                self._proceed()
            # The ticket holds the error, whose traceback holds this frame: a cycle that would keep the item's memory.
            del ticket

    async def close(self) -> None:
        """Refuse new items, finish those accepted, and end the threads; may be called again."""
        self._closing = True
        self._proceed()
        await self._drained.wait()

    def _proceed(self, event: Callable[[], None] = lambda: None) -> None:
        """Take in an event, then start whatever can start now. Should this itself fail, every caller is told."""
        try:
            event()
            if self._collated and len(self._running) < self._lanes:
                self._start_run(*self._collated)
            if not self._collated and not self._collating:
                self._start_collation()
            self._observer.queue_changed(len(self._waiting))
            if self._closing and not (self._accepted or self._collating or self._running):
                self._stop(wait=True)
        except BaseException as error:
            self._break(error)
            if not isinstance(error, Exception):
                raise

    def _start_collation(self) -> None:
        if tickets := self._take():
            self._collating = tickets
            self._start(self._collator, self._collate, [ticket.item for ticket in tickets], tickets, self._on_collated)

    def _take(self) -> list[Ticket[Item, Result]]:
        """The next batch; empty if there is none yet, or it is not full and every lane is busy anyway."""
        while self._retries:
            if piece := [ticket for ticket in self._retries.pop(0) if ticket.alive()]:
                capacity = self.budget.capacity(piece[0].shape)
                if rest := piece[capacity:]:
                    self._retry(rest)
                return piece[:capacity]
        waiting = [ticket for ticket in self._waiting if ticket.alive()]
        group = [ticket for ticket in waiting if ticket.shape == waiting[0].shape]
        if not group:
            return []
        capacity = self.budget.capacity(group[0].shape)
        if free := self._lanes - len(self._running):
            capacity = min(capacity, ceil(len(group) / free))
        elif len(group) < capacity:
            return []
        for ticket in group[:capacity]:
            del self._waiting[ticket]
        return group[:capacity]

    def _start_run(self, tickets: list[Ticket[Item, Result]], batch: Batch) -> None:
        self._collated = None
        if len(tickets) > self.budget.capacity(tickets[0].shape):
            self._retry(tickets)  # The budget shrank since.
        elif [ticket for ticket in tickets if ticket.alive()]:
            run = _Run(next(self._count))
            self._running[run] = tickets
            checked = partial(self._run_checked, run, len(tickets))
            self._start(self._device, checked, batch, tickets, partial(self._on_ran, run))

    def _run_checked(self, run: _Run, size: int, batch: Batch) -> list[Result]:
        run.started = monotonic()
        try:
            results = list(self._run(batch))
        finally:
            run.ended = monotonic()
        if len(results) != size:
            raise BatchError(f"the batch function returned {len(results)} results for {size} items")
        return results

    def _start(
        self,
        thread: ThreadPoolExecutor,
        function: Callable[[Argument], Returned],
        argument: Argument,
        tickets: list[Ticket[Item, Result]],
        then: Callable[[asyncio.Future[Returned]], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(thread, attempt, function, argument)
        if isfinite(self.call_limit_s):
            timer = loop.call_later(self.call_limit_s, self._on_hung, future, tickets)
            future.add_done_callback(lambda _: timer.cancel())
        future.add_done_callback(lambda done: self._proceed(lambda: then(done)))

    def _on_hung(self, call: asyncio.Future[Returned], tickets: list[Ticket[Item, Result]]) -> None:
        logger.error("A batch of %d has not ended after %.0f s", len(tickets), self.call_limit_s)
        self._hung += 1
        call.add_done_callback(self._on_hung_ended)
        for ticket in (*tickets, *(ticket for ticket in self._accepted if ticket.deadline is None)):
            ticket.fail(Hung(HUNG))

    def _on_hung_ended(self, _: asyncio.Future[Returned]) -> None:
        self._hung -= 1

    def _on_collated(self, done: asyncio.Future[Batch]) -> None:
        tickets, self._collating = self._collating, []
        error = done.exception()
        if error is None:
            self._collated = tickets, done.result()
        else:
            self._split(tickets, error)

    def _on_ran(self, run: _Run, done: asyncio.Future[list[Result]]) -> None:
        tickets = self._running.pop(run)
        run_s = run.ended - run.started
        waits_s = [run.started - ticket.submitted for ticket in tickets]
        self._observer.batch_ran(run.number, [ticket.item for ticket in tickets], waits_s, run_s)
        error = done.exception()
        if error is not None:
            self._split(tickets, error)
            return
        for ticket, result, wait_s in zip(tickets, done.result(), waits_s, strict=True):
            if not ticket.answer.done():
                ticket.answer.set_result(Outcome(result, wait_s, run_s, len(tickets), run.number))

    def _split(self, tickets: list[Ticket[Item, Result]], error: BaseException) -> None:
        if len(tickets) == 1:
            tickets[0].fail(error)
            return
        if isinstance(error, MemoryError):
            self.budget = self.budget.halved()
            logger.warning("A batch of %d ran out of memory; the budget is now %s", len(tickets), self.budget)
        middle = (len(tickets) + 1) // 2
        self._retry(tickets[:middle], tickets[middle:])

    def _retry(self, *pieces: list[Ticket[Item, Result]]) -> None:
        self._retries = sorted([*self._retries, *pieces], key=lambda piece: piece[0].submitted)

    def _expire(self, ticket: Ticket[Item, Result]) -> None:
        if not any(ticket in tickets for tickets in self._running.values()):
            ticket.expire()

    def _break(self, error: BaseException) -> None:
        logger.error("The batcher broke", exc_info=error)
        self._closing = True
        self._broken_by = error
        for ticket in self._accepted:
            broken = BatcherClosed("the batcher broke")
            broken.__cause__ = error
            ticket.fail(broken)
        self._stop(wait=False)  # A call may still be under way.

    def _stop(self, wait: bool) -> None:
        self._collator.shutdown(wait)
        self._device.shutdown(wait)
        self._drained.set()
