"""What serving costs over the models themselves: ``python benchmarks/overhead.py PHOTO --url http://127.0.0.1:8000``.

Runs ``maskgraph predict``'s pipeline in this process and the same photo over HTTP, one client, by turns, and prints the
medians and their ratio. Both compete for the same cores only while they run, which is never at once.
"""

import argparse
import asyncio
import statistics
import time
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import track
from rich.table import Table

from serve_app.local import build_local
from serve_app.pipeline import AnalyzeRequest, EncodedImage
from serve_app.settings import Settings


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    photo = arguments.photo.read_bytes()
    pipeline = build_local(Settings())
    local, served, inner = [], [], []
    async with httpx.AsyncClient(base_url=arguments.url, timeout=60) as client:
        for turn in track(range(arguments.rounds + 3), description="photos"):
            start = time.perf_counter()
            analysis = await pipeline.analyze(AnalyzeRequest([EncodedImage(photo)], "overhead"))
            took = (time.perf_counter() - start) * 1000
            assert not analysis.images[0].errors, analysis.images[0].errors
            start = time.perf_counter()
            answer = await client.post("/analyze", content=photo, headers={"Content-Type": "image/jpeg"})
            round_trip = (time.perf_counter() - start) * 1000
            answer.raise_for_status()
            if turn >= 3:  # the first ones warm caches
                local.append(took)
                served.append(round_trip)
                inner.append(answer.json()["timing_ms"]["total"])
    table = Table("what", "median ms", "p90 ms")
    rows = (("in process: decode and models", local), ("served: inside the ingress", inner), ("served: HTTP", served))
    for name, values in rows:
        table.add_row(name, f"{statistics.median(values):.1f}", f"{statistics.quantiles(values, n=10)[-1]:.1f}")
    console = Console()
    console.print(table)
    console.print(f"HTTP / in process: {statistics.median(served) / statistics.median(local):.2f}")


if __name__ == "__main__":
    asyncio.run(main())
