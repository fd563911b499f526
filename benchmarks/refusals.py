"""What refusing costs: ``python -m benchmarks.refusals --url http://127.0.0.1:8000``, on the machine that serves.

Sends a few kB that claim to be a 20000x20000 PNG (decoded: 1.2 GB) and a body of 100 MB, and prints each answer's
status and median time, and by how much the ingress's peak memory grew (Linux only).
"""

import asyncio
import struct
import zlib
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from serve_app.commands.bench.loadgen import Failed, Load, closed_loop, http_session, post


def huge_png() -> bytes:
    """The header of a 20000x20000 PNG over a few bytes of data."""
    header = struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 4_000_000)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def ingress_process() -> Path:
    """Folder in /proc of the ingress replica."""
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        if b"ServeReplica" in (title := command.read_bytes()) and b"Ingress" in title:
            return command.parent
    raise SystemExit("no ingress replica runs on this machine")


def memory(process: Path, field: str) -> float:
    """A field of /proc/PID/status (VmRSS: now, VmHWM: at its peak) in MB."""
    line = next(line for line in (process / "status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def start_counting(process: Path) -> float:
    """Count the process's peak anew; what it holds now, in MB."""
    (process / "clear_refs").write_text("5")
    return memory(process, "VmRSS")


async def send(url: str, body: bytes, kind: str, seconds: float) -> tuple[set[str], Load]:
    """How one client's requests are refused, and the time to each refusal."""
    kinds = set()
    async with http_session() as session:

        async def ask(number: int) -> None:
            try:
                await post(session, f"{url}/analyze", body, kind)
            except Failed as refusal:  # which is the good answer here
                kinds.add(str(refusal))
            else:
                kinds.add("200")

        load = await closed_loop(ask, 1, seconds)
    return kinds, load


def main(
    url: Annotated[str, typer.Option(help="Where the service answers.")] = "http://127.0.0.1:8000",
    seconds: Annotated[float, typer.Option(help="Of each kind of request.")] = 5,
) -> None:
    process = ingress_process()
    table = Table("request", "bytes", "answers", "median ms", "ingress's peak grew by MB")
    requests = (("20000x20000 PNG", huge_png(), "image/png"), ("100 MB body", bytes(100_000_000), "image/jpeg"))
    for name, body, kind in requests:
        before = start_counting(process)
        kinds, load = asyncio.run(send(url, body, kind, seconds))
        grew = f"{memory(process, 'VmHWM') - before:.1f}"
        table.add_row(name, f"{len(body):,}", ", ".join(sorted(kinds)), f"{1000 * load.latency_s(50):.1f}", grew)
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
