"""How busy a device is, and what an image costs there."""

from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Literal

from deployments.batching.observer import BatchObserver

WINDOW_S = 5.0
"""Seconds over which the busy share is taken."""
NEWEST = 0.2
"""Weight of the newest batch in the cost of an image."""


class WorkMeter(BatchObserver):
    """Measures a batcher's runs, and passes everything on to another observer.

    lanes: runs that the device does at a time.
    """

    def __init__(self, observer: BatchObserver, lanes: int = 1, clock: Callable[[], float] = monotonic) -> None:
        self._observer = observer
        self._lanes = lanes
        self._clock = clock
        self._started = clock()
        self._runs: deque[tuple[float, float]] = deque()
        """When each run of the window ended, and its seconds."""
        self.cost_s = 0.0
        """Seconds of the device for one image, the newest batches weighing most; 0 before the first."""

    def busy(self) -> float:
        """Share of the last WINDOW_S in which the device ran, from 0 to 1."""
        now = self._clock()
        since = max(self._started, now - WINDOW_S)
        while self._runs and self._runs[0][0] <= since:
            self._runs.popleft()
        inside = sum(min(run_s, ended - since) for ended, run_s in self._runs)
        return min(1.0, inside / (self._lanes * max(now - since, 1e-6)))

    def batch_ran(self, waits_s: Sequence[float], run_s: float) -> None:
        self._runs.append((self._clock(), run_s))
        cost_s = run_s / (len(waits_s) * self._lanes)
        self.cost_s = cost_s if self.cost_s == 0 else (1 - NEWEST) * self.cost_s + NEWEST * cost_s
        self._observer.batch_ran(waits_s, run_s)

    def queue_changed(self, length: int) -> None:
        self._observer.queue_changed(length)

    def dropped(self, reason: Literal["cancelled", "expired", "rejected"]) -> None:
        self._observer.dropped(reason)

    def failed(self, error: BaseException) -> None:
        self._observer.failed(error)
