"""Whether a branch's replicas answer, known at any time without a call that waits."""

import asyncio
import time
from collections.abc import Awaitable, Callable

PERIOD_S = 1.0
SILENCE_S = 3.0
"""So long after the last answer, of a photo or to the question, a branch counts as gone."""


class Pulse:
    """Asks a branch once a second in the background, and hears every answer to a photo.

    Belongs to the event loop in which it starts.
    """

    def __init__(self, ask: Callable[[], Awaitable[None]]) -> None:
        """``ask`` raises, or does not return, where no replica answers."""
        self._ask = ask
        self._heard = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether an answer came lately, and no replica was lost since."""
        self.start()
        return time.monotonic() - self._heard < SILENCE_S

    def start(self) -> None:
        """Begin to ask; has no effect the second time."""
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._keep_asking())

    def heard(self) -> None:
        """An answer came."""
        self._heard = time.monotonic()

    def lost(self) -> None:
        """A replica died: whether others are left, the next answer shows."""
        self._heard = float("-inf")

    async def _keep_asking(self) -> None:
        while True:
            started = time.monotonic()
            try:
                async with asyncio.timeout(SILENCE_S):
                    await self._ask()
                self.heard()
            except Exception:  # whatever a transport raises: there was no answer
                self.lost()
            await asyncio.sleep(max(0.1, started + PERIOD_S - time.monotonic()))
