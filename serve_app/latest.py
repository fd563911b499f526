"""The latest answers to questions that are asked again and again, for those who cannot wait long: probes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

PATIENCE_S = 0.5
"""How long who asks waits for an answer of now."""
TRUSTED_S = 15.0
"""How old an answer may be that is given in its place. Of an ingress that is gone Serve tells at once; this is for one
that is behind, which 400 clients at once put some seconds behind on two cores."""
MOST_KEPT = 64
"""Answers; clients choose some questions."""


class Latest(Generic[T]):
    """Of one event loop."""

    def __init__(self) -> None:
        self._asking: dict[Hashable, asyncio.Task[T]] = {}
        self._answers: dict[Hashable, tuple[float, T]] = {}

    async def answer(self, question: Hashable, ask: Callable[[], Awaitable[T]]) -> T | None:
        """What ``ask`` gives, if that comes soon; else the latest answer, or None where that is too old.

        Nobody asks while the same question is under way, and who leaves does not end it. Raises what ``ask`` raises.
        """
        asking = self._asking.get(question)
        if asking is None:
            asking = self._asking[question] = asyncio.create_task(self._ask(question, ask))
            asking.add_done_callback(_seen)
        await asyncio.wait([asking], timeout=PATIENCE_S)
        if asking.done():
            return asking.result()
        answered, answer = self._answers.get(question, (-TRUSTED_S, None))
        return answer if time.monotonic() - answered < TRUSTED_S else None

    async def _ask(self, question: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        try:
            answer = await ask()
        finally:
            del self._asking[question]
            self._answers.pop(question, None)
        self._answers[question] = (time.monotonic(), answer)
        if len(self._answers) > MOST_KEPT:
            del self._answers[next(iter(self._answers))]
        return answer


def _seen(asking: asyncio.Task[Any]) -> None:
    """What fails once everybody has left is told to nobody; asyncio would log it with its traceback."""
    if not asking.cancelled():
        asking.exception()
