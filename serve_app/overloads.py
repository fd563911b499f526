"""Overloads that the ingress told of, as those know them who stand before it."""

import time
from dataclasses import dataclass

NOBODY_ANSWERS = "the service has no process that answers; try again later"
MEMORY_S = 1.0
MOST_PATHS = 64


@dataclass(slots=True)
class _Busy:
    retry_after_s: int
    interval_s: float
    """Between two that are let through: half of what one takes to be answered, so that no room stays empty."""
    until: float
    next_pass: float

    def lets_through(self, now: float) -> bool:
        if self.next_pass <= now < self.until:
            self.next_pass = now + self.interval_s
            return True
        return now >= self.until


class Overloads:
    """By path, or by method. Some requests are let through all the same, to learn when it ends."""

    def __init__(self) -> None:
        self._busy: dict[str, _Busy] = {}

    def retry_after_s(self, path: str) -> int | None:
        """When a request may come again; None where it may go to the ingress, which then decides."""
        busy = self._busy.get(path)
        return None if busy is None or busy.lets_through(time.monotonic()) else busy.retry_after_s

    def remember(self, path: str, retry_after_s: int, interval_s: float) -> None:
        """The ingress refused a request; room for one image comes every ``interval_s``."""
        if len(self._busy) >= MOST_PATHS:
            self._busy.clear()
        now = time.monotonic()
        self._busy[path] = _Busy(retry_after_s, interval_s / 2, now + MEMORY_S, now + interval_s / 2)
