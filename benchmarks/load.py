"""Many clients at once: ``python -m benchmarks.load PHOTO... --url http://127.0.0.1:8000 --clients 32 --seconds 60``.

Prints errors, throughput and latency, says whether every answer equals the single client's, and reads the batch sizes
from the metrics that Ray exports on this machine (``--metrics``, printed by ``serve run`` as the metrics export port).
"""

import asyncio
import re
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import orjson
import typer
from rich.console import Console
from rich.table import Table

from serve_app.commands.bench.loadgen import Load, closed_loop, http_session, post

EXPORT_S = 12
"""Ray exports its metrics every ten seconds."""


def essence(answer: bytes) -> list[tuple[Any, ...]]:
    """What must not depend on the load: labels, boxes to the pixel, scores to the second decimal."""
    images = orjson.loads(answer)["images"]
    faces = [(face["label"], *(round(side) for side in face["box"].values())) for i in images for face in i["faces"]]
    return faces + [
        (i["label"], round(i["score"], 2), i["area"] // 100) for image in images for i in image["instances"]
    ]


async def batch_sizes(session: aiohttp.ClientSession, url: str) -> dict[str, tuple[float, float]]:
    """Sum and count of each task's batch sizes since the start, from Ray's Prometheus text."""
    async with session.get(url) as answer:
        text = await answer.text()
    totals: dict[str, list[float]] = {}
    for kind, labels, value in re.findall(r"^ray_maskgraph_batch_size_(sum|count)\{(.*?)\} (\S+)", text, re.M):
        task = re.search(r'task="(\w+)"', labels)
        if task:
            totals.setdefault(task[1], [0.0, 0.0])[kind == "count"] += float(value)
    return {task: (total, count) for task, (total, count) in totals.items()}


async def run(
    photos: list[bytes], url: str, clients: int, seconds: float, metrics: str | None
) -> tuple[Load, int, dict[str, float]]:
    """What the clients saw, how many answers were unlike the single client's, and each task's mean batch."""
    different = 0
    async with http_session() as session:

        async def ask(number: int) -> list[tuple[Any, ...]]:
            return essence(await post(session, f"{url}/analyze", photos[number % len(photos)]))

        expected = [await ask(number) for number in range(len(photos))]

        async def compare(number: int) -> None:
            nonlocal different
            different += await ask(number) != expected[number % len(photos)]

        before = await batch_sizes(session, metrics) if metrics else {}
        load = await closed_loop(compare, clients, seconds)
        if metrics is None:
            return load, different, {}
        await asyncio.sleep(EXPORT_S)
        means = {}
        for task, (total, count) in (await batch_sizes(session, metrics)).items():
            first_total, first_count = before.get(task, (0.0, 0.0))
            if count > first_count:
                means[task] = (total - first_total) / (count - first_count)
    return load, different, means


def main(
    photos: list[Path],
    url: Annotated[str, typer.Option(help="Where the service answers.")] = "http://127.0.0.1:8000",
    metrics: Annotated[str | None, typer.Option(help="URL of Ray's Prometheus text, for batch sizes.")] = None,
    clients: Annotated[int, typer.Option(help="At once.")] = 32,
    seconds: Annotated[float, typer.Option(help="Of load, once all clients have had an answer.")] = 60,
) -> None:
    bodies = [path.read_bytes() for path in photos]
    load, different, means = asyncio.run(run(bodies, url, clients, seconds, metrics))
    table = Table("measure", "value")
    table.add_row("answers", str(len(load.latencies_s)))
    table.add_row("answers per second", f"{load.per_second:.2f}")
    table.add_row("latency p50 / p95 / p99 in s", " / ".join(f"{load.latency_s(p):.2f}" for p in (50, 95, 99)))
    table.add_row("errors", str(dict(load.errors) or 0))
    table.add_row("answers unlike the single client's", str(different))
    for task, mean in means.items():
        table.add_row(f"mean batch of {task}", f"{mean:.2f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
