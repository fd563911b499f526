"""Many clients at once: ``python benchmarks/load.py PHOTO... --url http://127.0.0.1:8000 --clients 32 --seconds 60``.

Prints errors, throughput and latency, says whether every answer equals the single client's, and reads the batch sizes
from the metrics that Ray exports on this machine (``--metrics``, printed by ``serve run`` as the metrics export port).
"""

import argparse
import asyncio
import re
import statistics
import time
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table


def essence(answer: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What must not depend on the load: labels, boxes to the pixel, scores to the second decimal."""
    return [
        (face["label"], *(round(side) for side in face["box"].values()))
        for image in answer["images"]
        for face in image["faces"]
    ] + [(i["label"], round(i["score"], 2), i["area"] // 100) for image in answer["images"] for i in image["instances"]]


async def batch_sizes(url: str) -> dict[str, tuple[float, float]]:
    """Sum and count of each task's batch sizes since the start, from Ray's Prometheus text."""
    async with httpx.AsyncClient() as client:
        text = (await client.get(url)).text
    totals: dict[str, list[float]] = {}
    for kind, labels, value in re.findall(r"^ray_maskgraph_batch_size_(sum|count)\{(.*?)\} (\S+)", text, re.M):
        task = re.search(r'task="(\w+)"', labels)
        if task:
            totals.setdefault(task[1], [0.0, 0.0])[kind == "count"] += float(value)
    return {task: (total, count) for task, (total, count) in totals.items()}


async def main() -> None:
    """Load the service and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--metrics", help="URL of Ray's Prometheus text, for batch sizes")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    photos = [path.read_bytes() for path in arguments.photos]
    latencies: list[float] = []
    errors: dict[str, int] = {}
    different = 0
    limits = httpx.Limits(max_connections=arguments.clients)
    async with httpx.AsyncClient(base_url=arguments.url, timeout=120, limits=limits) as client:

        async def ask(photo: bytes) -> httpx.Response:
            return await client.post("/analyze", content=photo, headers={"Content-Type": "image/jpeg"})

        expected = [essence((await ask(photo)).json()) for photo in photos]
        before = await batch_sizes(arguments.metrics) if arguments.metrics else {}
        end = time.monotonic() + arguments.seconds

        async def work(number: int) -> None:
            nonlocal different
            turn = number
            while time.monotonic() < end:
                which = turn % len(photos)
                turn += 1
                start = time.monotonic()
                try:
                    answer = await ask(photos[which])
                except httpx.HTTPError as error:
                    errors[type(error).__name__] = errors.get(type(error).__name__, 0) + 1
                    continue
                if answer.status_code != 200:
                    errors[str(answer.status_code)] = errors.get(str(answer.status_code), 0) + 1
                    continue
                latencies.append(time.monotonic() - start)
                different += essence(answer.json()) != expected[which]

        started = time.monotonic()
        await asyncio.gather(*(work(number) for number in range(arguments.clients)))
        took = time.monotonic() - started
    table = Table("measure", "value")
    table.add_row("answers", str(len(latencies)))
    table.add_row("answers per second", f"{len(latencies) / took:.2f}")
    if len(latencies) > 1:
        table.add_row("latency p50 / p95 in s", " / ".join(f"{q:.2f}" for q in percentiles(latencies)))
    table.add_row("errors", str(errors or 0))
    table.add_row("answers unlike the single client's", str(different))
    if arguments.metrics:
        await asyncio.sleep(12)  # Ray exports every ten seconds
        for task, (total, count) in (await batch_sizes(arguments.metrics)).items():
            first_total, first_count = before.get(task, (0.0, 0.0))
            if count > first_count:
                table.add_row(f"mean batch of {task}", f"{(total - first_total) / (count - first_count):.2f}")
    Console().print(table)


def percentiles(values: list[float]) -> tuple[float, float]:
    """Median and 95th percentile."""
    cuts = statistics.quantiles(values, n=20)
    return cuts[9], cuts[18]


if __name__ == "__main__":
    asyncio.run(main())
