"""What a request costs the running service: time, and CPU of each kind of process."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from benchmarks import processes
from benchmarks.contenders import HttpServer
from benchmarks.processes import Stat
from serve_app.commands.bench.loadgen import closed_loop, post

REST = "the rest"
"""Processes of Ray that are neither a replica nor a proxy."""


@dataclass(frozen=True)
class Body:
    """A request's."""

    data: bytes
    content_type: str = "image/jpeg"
    query: str = ""


@dataclass(frozen=True)
class Cost:
    """Of one kind of request."""

    per_second: float
    p50_ms: float
    cpu_ms: Mapping[str, float]
    """A request, by what its process is for: a deployment's name, ``proxy``, or ``the rest``."""
    failures: Mapping[str, int]

    @property
    def total_cpu_ms(self) -> float:
        """Of all processes."""
        return sum(self.cpu_ms.values())


@asynccontextmanager
async def served(server: HttpServer) -> AsyncIterator[HttpServer]:
    """The server, started; afterwards it has ended, also where it was never ready. Raises Skipped."""
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


async def cost(server: HttpServer, bodies: Sequence[Body], clients: int, seconds: float) -> Cost:
    """Ask a started server in a closed loop."""

    async def send(number: int) -> None:
        body = bodies[number % len(bodies)]
        assert server.session
        await post(server.session, f"{server.url}/analyze{body.query}", body.data, body.content_type)

    before = processes.trees(server.roots)
    load = await closed_loop(send, clients, seconds)
    after = processes.trees(server.roots)
    by_role = {role: 1000 * used / load.sent for role, used in cpu_by_role(before, after).items()}
    return Cost(load.per_second, 1000 * load.latency_s(50), by_role, load.errors)


async def idle_cores(server: HttpServer, seconds: float) -> float:
    """Cores that a started server uses while nobody asks."""
    before, began = processes.trees(server.roots), time.monotonic()
    await asyncio.sleep(seconds)
    return processes.used(before, processes.trees(server.roots)).cpu_s / (time.monotonic() - began)


def cpu_by_role(before: Mapping[int, Stat], after: Mapping[int, Stat]) -> dict[str, float]:
    """CPU seconds between two moments, by role."""
    seconds: dict[str, float] = {}
    for pid, name in processes.titles(after).items():
        first = {pid: before[pid]} if pid in before else {}
        spent = processes.used(first, {pid: after[pid]}).cpu_s
        seconds[role(name)] = seconds.get(role(name), 0.0) + spent
    return seconds


def role(title: str) -> str:
    """What a process of that title is for."""
    if title.startswith("ray::ServeReplica:"):
        return title.rpartition(":")[2]
    return "proxy" if "Proxy" in title or title == "haproxy" else REST
