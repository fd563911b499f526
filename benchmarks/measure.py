"""One contender under one load: what its clients saw and what its processes used."""

import asyncio
import time
from dataclasses import dataclass, field
from statistics import median

from benchmarks import processes
from benchmarks.contenders import CORES, Contender, Photos, Skipped
from benchmarks.loadgen import Load, closed_loop, open_loop
from benchmarks.processes import Memory

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

    @property
    def idle_sum_mb(self) -> float:
        """Of all processes before any load."""
        return sum(memory.pss_mb for memory in self.idle.values())

    def watch_memory(self) -> dict[int, Memory]:
        """The sizes now; the peaks rise to them."""
        now = processes.memory(processes.trees(self.contender.roots))
        for pid, memory in now.items():
            self.peak[pid] = max(memory, self.peak.get(pid, memory), key=lambda each: each.pss_mb)
        self.peak_sum_mb = max(self.peak_sum_mb, sum(memory.pss_mb for memory in now.values()))
        return now


@dataclass(frozen=True)
class Level:
    """How hard to ask."""

    photos: str
    """Name of the set of photos."""
    clients: int | None = None
    """Of a closed loop."""
    share: float | None = None
    """Of an open loop: arrivals over the contender's own capacity."""


@dataclass(frozen=True)
class Measurement:
    """A row of the result."""

    contender: str
    level: Level
    per_second: float
    """Good answers; of an open loop, until the last is there."""
    p50_ms: float
    p95_ms: float
    p99_ms: float
    answers: int
    errors: dict[str, int]
    cpu_ms: float
    """Of all of the contender's processes, a request."""
    page_faults: float
    """The same."""
    generator_cpu_ms: float
    """Of the load generator, a request."""
    others_share: float
    """Of the machine's cores, what others than the contender and the generator used: 0 on an idle machine."""


async def start(contender: Contender) -> Started:
    """Start a contender, and see how long that takes and how much memory. Raises Skipped."""
    began = time.monotonic()
    try:
        await contender.start()
    except Skipped:
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
        *(1000 * load.latency_s(percent) for percent in (50, 95, 99)),
        answers=len(load.latencies_s),
        errors=dict(load.errors),
        cpu_ms=1000 * used.cpu_s / load.sent,
        page_faults=used.page_faults / load.sent,
        generator_cpu_ms=1000 * load.generator_cpu_s / load.sent,
        others_share=others_share,
    )


def over_rounds(rows: list[Measurement]) -> list[Measurement]:
    """One row for each contender and level: medians of the rounds; answers and errors in sum."""
    groups: dict[tuple[Level, str], list[Measurement]] = {}
    for row in rows:
        groups.setdefault((row.level, row.contender), []).append(row)
    return [joined(group) for group in groups.values()]


def joined(rounds: list[Measurement]) -> Measurement:
    """The rounds of one contender and level."""
    errors: dict[str, int] = {}
    for row in rounds:
        for kind, count in row.errors.items():
            errors[kind] = errors.get(kind, 0) + count
    return Measurement(
        rounds[0].contender,
        rounds[0].level,
        per_second=median(row.per_second for row in rounds),
        p50_ms=median(row.p50_ms for row in rounds),
        p95_ms=median(row.p95_ms for row in rounds),
        p99_ms=median(row.p99_ms for row in rounds),
        answers=sum(row.answers for row in rounds),
        errors=errors,
        cpu_ms=median(row.cpu_ms for row in rounds),
        page_faults=median(row.page_faults for row in rounds),
        generator_cpu_ms=median(row.generator_cpu_ms for row in rounds),
        others_share=max(row.others_share for row in rounds),
    )
