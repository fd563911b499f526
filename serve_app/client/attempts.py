"""When a question is asked again, and how long it may take in all."""

import random
import time
from collections.abc import Callable

import httpx

from serve_app.client.errors import DeadlineExceeded, MaskgraphError, Overloaded, ServiceUnreachable

FIRST_PAUSE_S = 0.25
MOST_DOUBLINGS = 5
LONGEST_CONNECT_S = 10.0


class Attempts:
    """The attempts at one question: until its deadline, and only where the service did nothing about the last one.

    The pause is what ``Retry-After`` says, else it doubles each time; up to a quarter is added to it, so that clients
    who were refused together do not come back together.
    """

    def __init__(self, timeout_s: float, retries: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        self._deadline = clock() + timeout_s
        self._retries = retries
        self._made = 0

    def remaining(self) -> float:
        """Seconds that are left. Raises DeadlineExceeded where none are."""
        left = self._deadline - self._clock()
        if left <= 0:
            raise self.exceeded()
        return left

    def exceeded(self) -> DeadlineExceeded:
        """The error of a question whose time is over."""
        return DeadlineExceeded(f"no answer within {self._timeout_s:g} s", "deadline_exceeded")

    def timeout(self) -> httpx.Timeout:
        """For each step of an attempt that begins now. Raises DeadlineExceeded."""
        left = self.remaining()
        return httpx.Timeout(left, connect=min(left, LONGEST_CONNECT_S))

    def pause(self, error: MaskgraphError) -> float:
        """Seconds to wait before the next attempt; raises ``error`` where there should be none."""
        if not isinstance(error, Overloaded | ServiceUnreachable) or self._made >= self._retries:
            raise error
        doubled = FIRST_PAUSE_S * 2 ** min(self._made, MOST_DOUBLINGS)
        wanted = doubled if error.retry_after_s is None else error.retry_after_s
        pause = wanted * random.uniform(1, 1.25)
        if self._clock() + pause >= self._deadline:
            raise error
        self._made += 1
        return pause
