"""Asks every second whether the service lives: ``python -m benchmarks.scenarios.probes URL HOST:PORT``.

As Kubernetes would, and in a process of its own: in that of a load generator, what a probe takes would mostly be the
generator's own time. Prints a line once it asks, and what it saw as JSON when its standard input ends.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import grpc

LIVE = ("/livez", "/readyz", "/v2/health/live")


@dataclass
class Probes:
    """What was seen."""

    answers: list[tuple[float, str]] = field(default_factory=list)
    """Seconds, and what was asked."""
    bad: Counter[str] = field(default_factory=Counter)

    @property
    def hold(self) -> bool:
        """Whether each was answered within a second."""
        return bool(self.answers) and not self.bad and max(self.answers)[0] < 1

    def __str__(self) -> str:
        worst: dict[str, float] = {}
        for seconds, name in sorted(self.answers):
            worst[name] = round(seconds, 2)
        return f"probes: {len(self.answers)} answered, the slowest in {worst} s, {dict(self.bad) or 'none'} not"


@asynccontextmanager
async def probing(url: str, grpc_address: str) -> AsyncIterator[Probes]:
    """Probes over HTTP and gRPC while the context lasts, known when it ends."""
    command = [sys.executable, "-m", __name__, url, grpc_address]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdout.readline()
    probes = Probes()
    try:
        yield probes
    finally:
        process.stdin.close()
        output = await process.stdout.read()
        await process.wait()
        seen = json.loads(output)
        probes.answers.extend((seconds, name) for seconds, name in seen["answers"])
        probes.bad.update(seen["bad"])


async def probe(url: str, grpc_address: str, probes: Probes) -> None:
    """Ask for ever."""
    channel = grpc.aio.insecure_channel(grpc_address)
    live = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
    check = channel.unary_unary("/grpc.health.v1.Health/Check")

    async def http(path: str) -> None:
        async with session.get(url + path, timeout=aiohttp.ClientTimeout(5)) as answer:
            await answer.read()
            answer.raise_for_status()

    async def one(name: str, asked: Awaitable[Any]) -> None:
        start = time.monotonic()
        try:
            await asked
        except (aiohttp.ClientError, TimeoutError, grpc.aio.AioRpcError) as error:
            probes.bad[f"{name} {type(error).__name__}"] += 1
        else:
            probes.answers.append((time.monotonic() - start, name))

    async with aiohttp.ClientSession() as session:
        while True:
            asked = [one(path, http(path)) for path in LIVE]
            asked += [one("ServerLive", live(b"", timeout=5)), one("Check", check(b"", timeout=5))]
            await asyncio.gather(*asked, asyncio.sleep(1))


async def main(url: str, grpc_address: str) -> None:
    """Ask until the standard input ends."""
    probes = Probes()
    task = asyncio.create_task(probe(url, grpc_address, probes))
    print("asking", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    print(json.dumps({"answers": probes.answers, "bad": probes.bad}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
