"""How fast one stage answers, learned from its answers."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SMOOTHING = 0.1
"""Weight of one more answer: what changes, such as the number of replicas, is learned within some ten of them."""
MEMORY_S = 300.0
"""For this long at least the quickest answer is remembered."""


class Pace:
    """A stage that works on several images at once: threads, or a branch's replicas.

    An image that took t seconds while n were at work, itself included, tells of n / t images a second: Little's law,
    true of a queue in front of any number of replicas, with batches or without.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.images_per_s = 0.0
        """0 before the first answer."""
        self.at_work = 0
        self._clock = clock
        self._answers = 0
        self._quickest = self._quickest_before = math.inf
        self._since = clock()

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Time one image; one that ends by an exception has no answer and tells nothing."""
        self.at_work += 1
        among, started = self.at_work, self._clock()
        try:
            yield
            self._learn(among, self._clock() - started)
        finally:
            self.at_work -= 1

    @property
    def alone_s(self) -> float:
        """Seconds that an image takes with none beside it: the least seen of late. 0 before the first answer."""
        least = min(self._quickest, self._quickest_before)
        return least if self._answers else 0.0

    def _learn(self, among: int, took: float) -> None:
        now = self._clock()
        if now - self._since >= MEMORY_S:
            self._quickest_before, self._quickest, self._since = self._quickest, math.inf, now
        took = max(took, 1e-4)
        self._quickest = min(self._quickest, took)
        self._answers += 1
        # The first ones count alike, so that a slow first answer is soon outweighed.
        self.images_per_s += max(SMOOTHING, 1 / self._answers) * (among / took - self.images_per_s)
