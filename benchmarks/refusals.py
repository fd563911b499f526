"""What refusing costs: ``python benchmarks/refusals.py --url http://127.0.0.1:8000``, on the machine that serves.

Sends a few kB that claim to be a 20000x20000 PNG (decoded: 1.2 GB) and a body of 100 MB, and prints each answer's
status and median time, and by how much the ingress's peak memory grew (Linux only).
"""

import argparse
import statistics
import struct
import time
import zlib
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table


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


def send(client: httpx.Client, body: bytes, kind: str, rounds: int) -> tuple[set[str], list[float]]:
    """The statuses of the answers, and milliseconds to each; a body that nobody reads may close the connection."""
    statuses, took = set(), []
    for _ in range(rounds):
        start = time.perf_counter()
        try:
            statuses.add(str(client.post("/analyze", content=body, headers={"Content-Type": kind}).status_code))
        except httpx.WriteError:
            statuses.add("closed")
        took.append((time.perf_counter() - start) * 1000)
    return statuses, took


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    process = ingress_process()
    table = Table("request", "bytes", "status", "median ms", "ingress's peak grew by MB")
    requests = (("20000x20000 PNG", huge_png(), "image/png"), ("100 MB body", bytes(100_000_000), "image/jpeg"))
    with httpx.Client(base_url=arguments.url, timeout=60) as client:
        for name, body, kind in requests:
            before = start_counting(process)
            statuses, took = send(client, body, kind, arguments.rounds)
            grew = f"{memory(process, 'VmHWM') - before:.1f}"
            table.add_row(name, f"{len(body):,}", ", ".join(sorted(statuses)), f"{statistics.median(took):.1f}", grew)
    Console().print(table)


if __name__ == "__main__":
    main()
