"""How busy a replica is, and what an image costs there."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import NamedTuple

WINDOW_S = 5.0
"""Seconds over which both are taken."""


class _Sum(NamedTuple):
    """Totals since the start, at one moment."""

    at: float
    occupied_s: float
    answers: int


class WorkMeter:
    """Counts the items that a replica has taken in. It is occupied by as many of them as it works on at a time.

    What is measured so includes all that keeps an image from being answered, not the network alone: a replica that
    always has items waiting is wholly busy, whatever holds it up.

    lanes: batches that run at a time.
    """

    def __init__(self, lanes: int = 1, clock: Callable[[], float] = monotonic) -> None:
        self._lanes = lanes
        self._clock = clock
        self._items = 0
        self._now = _Sum(clock(), 0.0, 0)
        self._sums = deque([self._now])
        self._cost_s = 0.0

    @contextmanager
    def item(self) -> Iterator[None]:
        """An item is here; one that ends by an exception is no answer."""
        self._add(1)
        try:
            yield
        except BaseException:
            self._add(-1)
            raise
        self._add(-1, answers=1)

    def busy(self) -> float:
        """Share of the last WINDOW_S in which it was occupied, from 0 to 1."""
        start = self._window()
        return min(1.0, (self._now.occupied_s - start.occupied_s) / max(self._now.at - start.at, 1e-6))

    def cost_s(self) -> float:
        """Seconds that one image occupied it, over the last WINDOW_S with an answer; 0 before the first."""
        start = self._window()
        if answers := self._now.answers - start.answers:
            self._cost_s = (self._now.occupied_s - start.occupied_s) / answers
        return self._cost_s

    def _add(self, items: int, answers: int = 0) -> None:
        self._window()
        self._items += items
        self._now = self._now._replace(answers=self._now.answers + answers)
        self._sums.append(self._now)

    def _window(self) -> _Sum:
        """Bring the totals up to now; those where the window starts, between two moments if need be."""
        now = self._clock()
        occupied = min(self._items, self._lanes) / self._lanes
        self._now = _Sum(now, self._now.occupied_s + occupied * (now - self._now.at), self._now.answers)
        since = now - WINDOW_S
        while len(self._sums) > 1 and self._sums[1].at <= since:
            self._sums.popleft()
        first = self._sums[0]
        if first.at >= since:
            return first
        after = self._sums[1] if len(self._sums) > 1 else self._now
        share = (since - first.at) / (after.at - first.at)
        return _Sum(since, first.occupied_s + share * (after.occupied_s - first.occupied_s), first.answers)
