"""One contender under one load: what its clients saw and what its processes used."""

import asyncio
import time
from dataclasses import dataclass, field

from benchmarks import processes
from benchmarks.contenders import CORES, Contender, Photos
from benchmarks.processes import Memory
from benchmarks.result import Entrant, Level, Measurement
from serve_app.commands.bench.loadgen import Load, closed_loop, open_loop

MEMORY_EVERY_S = 4.0
SETTLE_S = 1.0
"""Between two measurements."""


@dataclass
class Started:
    """A contender that takes part, and the memory of its processes by PID."""

    contender: Contender
    ready_s: float
    idle: dict[int, Memory] = field(default_factory=dict)
    peak: dict[int, Memory] = field(default_factory=dict)
    """The highest of each process that was seen."""
    peak_sum_mb: float = 0.0
    """The highest sum of one moment."""

    def entrant(self) -> Entrant:
        """What was seen of it, but for its answers."""
        return Entrant(
            self.contender.name,
            self.contender.description,
            self.ready_s,
            sum(memory.pss_mb for memory in self.idle.values()),
            self.peak_sum_mb,
            self.idle,
            self.peak,
        )

    def watch_memory(self) -> dict[int, Memory]:
        """The sizes now; the peaks rise to them."""
        now = processes.memory(processes.trees(self.contender.roots))
        for pid, memory in now.items():
            self.peak[pid] = max(memory, self.peak.get(pid, memory), key=lambda each: each.pss_mb)
        self.peak_sum_mb = max(self.peak_sum_mb, sum(memory.pss_mb for memory in now.values()))
        return now


async def start(contender: Contender) -> Started:
    """Start a contender, and see how long that takes and how much memory. Raises Skipped."""
    began = time.monotonic()
    try:
        await contender.start()
    except BaseException:
        await contender.stop()
        raise
    started = Started(contender, time.monotonic() - began)
    started.idle = started.watch_memory()
    return started


async def measure(started: Started, photos: Photos, level: Level, seconds: float, capacity: float) -> Measurement:
    """Put one load on one contender; ``capacity``, in answers a second, is what an open loop's share is of."""
    contender = started.contender

    async def send(number: int) -> None:
        await contender.ask(photos, number)

    async def watch() -> None:
        while True:
            await asyncio.sleep(MEMORY_EVERY_S)
            await asyncio.to_thread(started.watch_memory)

    before, busy, began = processes.trees(contender.roots), processes.busy_s(), time.monotonic()
    watching = asyncio.create_task(watch())
    try:
        if level.clients is not None:
            load = await closed_loop(send, level.clients, seconds)
        else:
            load = await open_loop(send, (level.share or 1.0) * capacity, seconds)
    finally:
        watching.cancel()
    used = processes.used(before, processes.trees(contender.roots))
    others_s = processes.busy_s() - busy - used.cpu_s - load.generator_cpu_s
    others_share = max(0.0, others_s / (time.monotonic() - began) / CORES)
    await asyncio.to_thread(started.watch_memory)
    await asyncio.sleep(SETTLE_S)
    return reduce(contender.name, level, load, used, others_share)


def reduce(contender: str, level: Level, load: Load, used: processes.Used, others_share: float) -> Measurement:
    """A row from what the generator and /proc saw."""
    return Measurement(
        contender,
        level,
        load.per_second,
        p50_ms=1000 * load.latency_s(50),
        p95_ms=1000 * load.latency_s(95),
        p99_ms=1000 * load.latency_s(99),
        answers=len(load.latencies_s),
        errors=dict(load.errors),
        cpu_ms=1000 * used.cpu_s / load.sent,
        page_faults=used.page_faults / load.sent,
        generator_cpu_ms=1000 * load.generator_cpu_s / load.sent,
        others_share=others_share,
    )
