"""Coverage-guided fuzzing of every parser: ``python -m benchmarks.fuzz --seconds 60``.

It needs atheris, which has wheels for Linux on x86: ``pip install --group fuzz``.

Each target runs in a process of its own, which a crash of a codec may end: the input that did it lies in
runs/fuzz/TARGET/found-* then. The inputs that reached new code stay in runs/fuzz/TARGET/corpus, from where the next
run goes on. Prints one table, and ends with 1 if anything was found: an answer that is a fault of ours, an exception
that the parser does not document, a crash, a case of more than 2 s, or more than 4 GB.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.fuzzing.run_one import MEASURES
from benchmarks.fuzzing.targets import TARGETS

FOLDER = Path("runs/fuzz")
STARTING_S = 300
"""Imports are slow where everything is instrumented."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one target."""

    cases: int
    seconds: float
    worst_ms: float
    growth_mb: float
    found: list[Path]


def fuzz(name: str, seconds: float) -> Outcome:
    """Run one target until the time is over or something is found."""
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.glob("found-*"))
    start = time.monotonic()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(folder.absolute())}
    command = [sys.executable, "-m", "benchmarks.fuzzing.run_one", name, str(folder), str(seconds)]
    with (folder / "log").open("wb") as log:
        done = subprocess.run(
            command,
            stdout=log,
            stderr=log,
            timeout=seconds + STARTING_S,
            check=False,
            env=environment,
        )
    found = sorted(set(folder.glob("found-*")) - before)
    if done.returncode != 0 and not found:
        found = [folder / "log"]
    cases, worst_s, first_mb, last_mb = np.fromfile(folder / "measures")[: len(MEASURES)].tolist()
    return Outcome(int(cases), time.monotonic() - start, 1000 * worst_s, last_mb - first_mb, found)


def main(
    seconds: Annotated[float, typer.Option(help="Of each target.")] = 60,
    only: Annotated[list[str] | None, typer.Option(help="Targets; all by default.")] = None,
) -> None:
    """Fuzz and tell."""
    table = Table("target", "cases", "cases/s", "worst ms", "growth MB", "found")
    total, found = 0, []
    for name in only or TARGETS:
        outcome = fuzz(name, seconds)
        total += outcome.cases
        found += outcome.found
        table.add_row(
            name,
            f"{outcome.cases:,}",
            f"{outcome.cases / seconds:,.0f}",
            f"{outcome.worst_ms:.0f}",
            f"{outcome.growth_mb:.1f}",
            str(len(outcome.found)),
        )
        print(name, outcome, flush=True)
    table.add_section()
    table.add_row("all", f"{total:,}", "", "", "", str(len(found)))
    Console().print(table)
    for path in found:
        print(path)
    raise typer.Exit(bool(found))


if __name__ == "__main__":
    typer.run(main)
