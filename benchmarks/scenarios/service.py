"""The service put to the test, and what is watched meanwhile."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from benchmarks import photos, processes
from benchmarks.scenarios.probes import Probes, probing

JPEG = {"Content-Type": "image/jpeg"}


@dataclass
class Service:
    """What is put to the test, and what is sent."""

    url: str
    grpc: str
    root: int
    seconds: float
    photo: bytes = field(default_factory=lambda: photos.photo(1280, 960))
    session: aiohttp.ClientSession = field(init=False)

    def probing(self) -> AbstractAsyncContextManager[Probes]:
        """Probes while the context lasts."""
        return probing(self.url, self.grpc)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the URL."""
        host, port = self.url.removeprefix("http://").split(":")
        return host, int(port)

    async def ask(self, path: str = "/analyze", body: bytes | None = None, **headers: str) -> tuple[int, float, Any]:
        """Status, seconds and headers of the answer to a photo, or to another body; 0 where there was none."""
        start = time.monotonic()
        try:
            async with self.session.post(
                self.url + path, data=self.photo if body is None else body, headers=JPEG | headers
            ) as answer:
                await answer.read()
                return answer.status, time.monotonic() - start, answer.headers
        except (aiohttp.ClientError, TimeoutError):
            return 0, time.monotonic() - start, {}

    async def alone(self) -> float:
        """Median seconds of a photo with none beside it."""
        asked = [await self.ask() for _ in range(7)]
        if statuses := {status for status, _, _ in asked} - {200}:
            raise RuntimeError(f"a photo alone is answered with {statuses}")
        return statistics.median([seconds for _, seconds, _ in asked])


@dataclass(frozen=True)
class Seen:
    """What came of a scenario."""

    holds: bool
    text: str


Scenario = Callable[[Service], Awaitable[Seen]]


@asynccontextmanager
async def growing(service: Service) -> AsyncIterator[list[float]]:
    """By how many MB the service's processes together held more at most; the list's one entry."""
    pids = list(processes.trees([service.root]))
    before = sum(processes.pss_mb(pid) for pid in pids)
    most = [0.0]

    async def watch() -> None:
        while True:
            held = await asyncio.to_thread(lambda: sum(processes.pss_mb(pid) for pid in pids))
            most[0] = max(most[0], held - before)
            await asyncio.sleep(0.1)

    task = asyncio.create_task(watch())
    try:
        yield most
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def percentile(values: list[float], share: float) -> float:
    """Of values in any order; 0 of none."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0
