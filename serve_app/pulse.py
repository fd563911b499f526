"""Whether a branch's replicas answer, known at any time without a call that waits."""

import asyncio
import time
from collections.abc import Awaitable, Callable

PERIOD_S = 1.0
ANSWER_S = 5.0
"""For which an answer to the question is waited for."""
SILENCE_S = 10.0
"""So long after the last answer, of a photo or to the question, a branch counts as gone: under load the question waits
behind photos, so that a slow answer says nothing; a replica that dies is noticed at once by those who wait for it."""


class Pulse:
    """Asks a branch once a second in the background, and hears every answer to a photo.

    Belongs to the event loop in which it starts.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[None]],
        patience_s: float,
        given_up: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``ask`` raises where a replica is lost, and does not return where there is none, or none that has time.

        ``given_up`` is called when the branch has been silent for ``patience_s``, and now and then while it is.
        """
        self._ask = ask
        self._patience_s = patience_s
        self._given_up = given_up
        self._clock = clock
        self._heard = float("-inf")
        self._lost = False
        self._since = clock()
        self._asking: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether an answer came lately, and no replica was lost since."""
        self.start()
        return not self._lost and self._clock() - self._heard < SILENCE_S

    @property
    def silent(self) -> bool:
        """Whether no replica has answered for so long, or since the start, that none is expected to."""
        self.start()
        return self._clock() - max(self._heard, self._since) >= self._patience_s

    def start(self) -> None:
        """Begin to ask; has no effect the second time."""
        if self._asking is None:
            self._since = self._clock()
            self._asking = asyncio.get_running_loop().create_task(self._keep_asking())

    def heard(self) -> None:
        """An answer came."""
        self._heard = self._clock()
        self._lost = False

    def lost(self) -> None:
        """A replica died: whether others are left, the next answer shows."""
        self._lost = True

    async def _keep_asking(self) -> None:
        while True:
            started = self._clock()
            try:
                async with asyncio.timeout(ANSWER_S):
                    await self._ask()
                self.heard()
            except TimeoutError:
                pass
            except Exception:  # whatever a transport raises for a replica that is gone
                self.lost()
            if self.silent:
                self._given_up()
            await asyncio.sleep(max(0.1, started + PERIOD_S - self._clock()))
