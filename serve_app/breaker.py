"""Keeps calls from a branch that gives no answers, so that they do not wait there until their deadlines."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

FAILURES = 5
"""Calls in a row without an answer, after which one at a time tries whether there are answers again."""
PATIENCE_S = 5.0
"""A deadline that left less time than this says nothing of the branch."""
TRIED_EVERY_S = 1.0


class BreakerOpen(Exception):
    """The branch gives no answers at present."""


class Breaker:
    """Open while no replica of a branch can be heard, and after calls in a row that got no answer.

    In the first case nothing is sent until one is heard. In the second, half open, calls go one at a time until one is
    answered. A call that fails on its own picture, or is refused by a replica that has too much to do, counts as
    neither: a client that sends such pictures could shut others out.
    """

    def __init__(self, silent: Callable[[], bool], clock: Callable[[], float] = time.monotonic) -> None:
        """``silent`` tells whether no replica can be heard; whoever watches it calls ``cut`` when that begins."""
        self._silent = silent
        self._clock = clock
        self._failures = 0
        self._next_try = 0.0
        self._waiting: set[asyncio.Timeout] = set()

    @property
    def open(self) -> bool:
        """Whether calls are kept back, but for those that try."""
        return self._silent() or self._failures >= FAILURES

    @asynccontextmanager
    async def call(self, time_left_s: float) -> AsyncIterator[None]:
        """One call, which has an answer where the context ends without an exception.

        Raises BreakerOpen at once or when the branch falls silent, TimeoutError when the time is over.
        """
        if self.open and not self._may_try():
            raise BreakerOpen
        started = self._clock()
        timer = asyncio.timeout(max(0.0, time_left_s))
        self._waiting.add(timer)
        try:
            async with timer:
                yield
        except TimeoutError:
            if timer not in self._waiting:
                raise BreakerOpen from None
            if self._clock() - started >= PATIENCE_S:
                self.failed()
            raise
        finally:
            self._waiting.discard(timer)
        self._failures = 0

    def failed(self) -> None:
        """A call got no answer from any replica."""
        self._failures += 1
        self._next_try = self._clock() + TRIED_EVERY_S

    def cut(self) -> None:
        """End the calls that wait: they hold places that those for other branches need."""
        waiting, self._waiting = self._waiting, set()
        for timer in waiting:
            timer.reschedule(asyncio.get_running_loop().time())

    def _may_try(self) -> bool:
        if self._silent() or self._waiting or self._clock() < self._next_try:
            return False
        self._next_try = self._clock() + TRIED_EVERY_S
        return True
