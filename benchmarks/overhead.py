"""What serving costs over the models themselves: ``python -m benchmarks.overhead PHOTO --url http://127.0.0.1:8000``.

Runs ``maskgraph predict``'s pipeline in this process and the same photo over HTTP, one client, by turns, and prints the
medians and their ratio. Both compete for the same cores only while they run, which is never at once.
"""

import asyncio
import time
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from serve_app.analysis import AnalyzeRequest, EncodedImage
from serve_app.commands.bench.loadgen import Load, http_session, post
from serve_app.local import build_local
from serve_app.settings import Settings

WARM_UP = 3


async def measure(photo: bytes, url: str, rounds: int) -> tuple[Load, Load, Load]:
    """Latencies in process, inside the ingress, and over HTTP."""
    pipeline = build_local(Settings())
    local, inside, served = Load(), Load(), Load()
    async with http_session() as session:
        for turn in track(range(rounds + WARM_UP), description="photos"):
            start = time.perf_counter()
            analysis = await pipeline.analyze(AnalyzeRequest([EncodedImage(photo)], "overhead"))
            took = time.perf_counter() - start
            assert not analysis.images[0].errors, analysis.images[0].errors
            start = time.perf_counter()
            answer = await post(session, f"{url}/analyze", photo)
            round_trip = time.perf_counter() - start
            if turn >= WARM_UP:
                local.latencies_s.append(took)
                served.latencies_s.append(round_trip)
                inside.latencies_s.append(orjson.loads(answer)["timing_ms"]["total"] / 1000)
    return local, inside, served


def main(
    photo: Path,
    url: Annotated[str, typer.Option(help="Where the service answers.")] = "http://127.0.0.1:8000",
    rounds: Annotated[int, typer.Option(help="Times that each is asked.")] = 30,
) -> None:
    local, inside, served = asyncio.run(measure(photo.read_bytes(), url, rounds))
    table = Table("what", "median ms", "p90 ms")
    rows = (("in process: decode and models", local), ("served: inside the ingress", inside), ("served: HTTP", served))
    for name, load in rows:
        table.add_row(name, f"{1000 * load.latency_s(50):.1f}", f"{1000 * load.latency_s(90):.1f}")
    console = Console()
    console.print(table)
    console.print(f"HTTP / in process: {served.latency_s(50) / local.latency_s(50):.2f}")


if __name__ == "__main__":
    typer.run(main)
