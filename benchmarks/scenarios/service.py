"""The service put to the test, and what is watched meanwhile: probes and memory."""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import grpc

from benchmarks import photos, processes

JPEG = {"Content-Type": "image/jpeg"}
LIVE = ("/livez", "/readyz", "/v2/health/live")


@dataclass
class Service:
    """What is put to the test, and what is sent."""

    url: str
    grpc: str
    root: int
    seconds: float
    photo: bytes = field(default_factory=lambda: photos.photo(1280, 960))
    session: aiohttp.ClientSession = field(init=False)

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


class Probes:
    """Asks every second whether the service lives, as Kubernetes would, while a scenario runs."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.bad: Counter[str] = Counter()

    @property
    def hold(self) -> bool:
        """Whether each was answered within a second."""
        return bool(self.seconds) and not self.bad and max(self.seconds) < 1

    def __str__(self) -> str:
        worst = f"{max(self.seconds):.2f} s" if self.seconds else "none"
        return f"probes: {len(self.seconds)} answered, worst {worst}, {dict(self.bad) or 'none'} not"


@asynccontextmanager
async def probing(service: Service) -> AsyncIterator[Probes]:
    """Probes over HTTP and gRPC while the context lasts."""
    probes = Probes()
    channel = grpc.aio.insecure_channel(service.grpc)
    live = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
    check = channel.unary_unary("/grpc.health.v1.Health/Check")

    async def http(path: str) -> None:
        async with service.session.get(service.url + path, timeout=aiohttp.ClientTimeout(5)) as answer:
            await answer.read()
            answer.raise_for_status()

    async def one(name: str, probe: Awaitable[Any]) -> None:
        start = time.monotonic()
        try:
            await probe
        except (aiohttp.ClientError, TimeoutError, grpc.aio.AioRpcError) as error:
            probes.bad[f"{name} {type(error).__name__}"] += 1
        else:
            probes.seconds.append(time.monotonic() - start)

    async def forever() -> None:
        while True:
            asked = [one(path, http(path)) for path in LIVE]
            asked += [one("ServerLive", live(b"", timeout=5)), one("Check", check(b"", timeout=5))]
            await asyncio.gather(*asked, asyncio.sleep(1))

    task = asyncio.create_task(forever())
    try:
        yield probes
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await channel.close()


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
