"""Hours in minutes: ``python -m benchmarks.soak``, the service at 80 % of its capacity, and what it holds meanwhile.

``--shapes 1000`` sends pictures of as many random shapes instead. Every sample is a line in ``runs/soak/*.jsonl`` as
soon as it is taken: what was interrupted still has its table and picture (``--show``).
"""

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import photos, processes
from benchmarks.contenders import ROOT, HttpServer, Photos
from benchmarks.cost import served
from benchmarks.lineup import service
from benchmarks.soak_result import Sample, drawn, table
from serve_app.commands.bench.loadgen import Load, closed_loop, open_loop

FOLDER = ROOT / "runs/soak"
CLIENTS = 8
"""By which capacity is measured, and who send the shapes."""
CAPACITY_S = 30.0
SHAPES_A_SAMPLE = 25
SMALLEST, LARGEST = 64, 3000
"""Sides of random shapes, in pixels."""


def sample(server: HttpServer, started: float, load: Load) -> Sample:
    """What the service's processes hold now, and what its clients saw since the last sample."""
    pids = list(processes.trees(server.roots))
    held = {pid: processes.held(pid) for pid in pids}
    names = processes.titles(pids)
    memory: dict[str, float] = {}
    for pid, title in names.items():
        name = title.removeprefix("ray::").rpartition(":")[2]  # a replica's deployment
        memory[name] = memory.get(name, 0.0) + held[pid].rss_mb
    return Sample(
        minutes=(time.monotonic() - started) / 60,
        pss_mb=sum(processes.pss_mb(pid) for pid in pids),
        rss_mb=memory,
        descriptors=sum(each.descriptors for each in held.values()),
        threads=sum(each.threads for each in held.values()),
        answers=len(load.latencies_s),
        errors=sum(load.errors.values()),
        p50_ms=1000 * load.latency_s(50),
        p99_ms=1000 * load.latency_s(99),
    )


async def steady(server: HttpServer, share: float, minutes: float) -> AsyncIterator[Sample]:
    """A sample a minute under Poisson arrivals at a share of the capacity, which is measured first."""
    with tempfile.TemporaryDirectory() as folder:
        sent = Photos(photos.one_size(), Path(folder))

        async def send(number: int) -> None:
            await server.ask(sent, number)

        capacity = (await closed_loop(send, CLIENTS, CAPACITY_S)).per_second
        started = time.monotonic()
        minute = 0
        while time.monotonic() - started < 60 * minutes:
            load = await open_loop(send, share * capacity, min(60.0, 60 * minutes), seed=minute)
            minute += 1
            yield sample(server, started, load)


async def shapes(server: HttpServer, count: int) -> AsyncIterator[Sample]:
    """A sample after every few random shapes."""
    random = Random(0)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(0, count, SHAPES_A_SAMPLE):
            sides = [
                tuple(round(SMALLEST * (LARGEST / SMALLEST) ** random.random()) for _ in range(2))
                for _ in range(SHAPES_A_SAMPLE)
            ]
            sent = await asyncio.to_thread(Photos, [photos.photo(*side) for side in sides], Path(folder))
            yield sample(server, started, await each_once(server, sent))


async def each_once(server: HttpServer, sent: Photos) -> Load:
    """Every photo is sent once, by several clients."""
    load = Load()
    numbers = iter(range(len(sent.bodies)))

    async def client() -> None:
        for number in numbers:
            began = time.monotonic()
            await server.ask(sent, number)
            load.latencies_s.append(time.monotonic() - began)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return load


async def record(port: int, take: Callable[[HttpServer], AsyncIterator[Sample]], file: Path) -> None:
    """Start the service as make serve does, and write each sample to the file when it comes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, file.open("w") as lines:
        async with served(service("soak", port, "float32", Path(folder))) as server, aclosing(take(server)) as samples:
            async for each in samples:
                lines.write(json.dumps(asdict(each)) + "\n")
                lines.flush()
                Console().print(f"{each.minutes:.1f} min: {each.pss_mb:.0f} MB, p99 {each.p99_ms:.0f} ms")


def main(
    minutes: Annotated[float, typer.Option(help="Of load.")] = 30,
    share: Annotated[float, typer.Option(help="Of the measured capacity.")] = 0.8,
    random_shapes: Annotated[int, typer.Option("--shapes", help="Send pictures of so many shapes instead.")] = 0,
    show: Annotated[bool, typer.Option(help="Only what the last run recorded.")] = False,
    port: Annotated[int, typer.Option(help="The first that may be used.")] = 8400,
) -> None:
    name = "shapes" if random_shapes else "steady"
    file = FOLDER / f"{name}.jsonl"
    try:
        if not show:
            take = (
                (lambda server: shapes(server, random_shapes))
                if random_shapes
                else (lambda server: steady(server, share, minutes))
            )
            asyncio.run(record(port, take, file))
    finally:
        if file.is_file() and (lines := file.read_text().splitlines()):
            samples = [Sample(**json.loads(line)) for line in lines]
            Console().print(table(samples))
            drawn(samples, file.with_suffix(".png"))
            Console().print(f"{file.with_suffix('.png')}")


if __name__ == "__main__":
    typer.run(main)
