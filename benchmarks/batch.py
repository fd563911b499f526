"""``maskgraph batch`` measured: ``python -m benchmarks.batch speed|memory|killed``.

speed: beside the floor of compare.py, a bare process a core with one thread, which takes the same photos before and
after. memory: many small pictures through networks that do nothing. killed: a run whose workers are killed, and which
then is killed itself and started again.
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks import processes
from benchmarks.contenders import CORES, Floor, Photos
from benchmarks.lineup import heap_variables
from benchmarks.noop_graph import NoOpModel
from benchmarks.photos import jpeg, one_size, sources
from deployments.models.card import card_path, read_card
from deployments.replica import Replica
from serve_app.commands.batch.analyst import Analyst, offline
from serve_app.commands.batch.command import cluster
from serve_app.commands.batch.parts import parts, read_parts
from serve_app.commands.batch.places import Place
from serve_app.commands.batch.run import Workers, analyse
from serve_app.commands.batch.sources import listing
from serve_app.commands.serving.environment import set_for_serving
from serve_app.local import LocalBranch
from serve_app.pipeline import Pipeline
from serve_app.settings import Settings

app = typer.Typer(no_args_is_help=True, callback=lambda: set_for_serving(os.environ, load=False))
Count = Annotated[int, typer.Option(help="Pictures.")]
SETTINGS = Settings(device="cpu")


def timed(folder: Path) -> type[Analyst]:
    """An actor that leaves a file in ``folder`` when its first picture comes."""

    class Timed(Analyst):
        async def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
            file = folder / f"{os.getpid()}"
            if not file.exists():
                file.touch()
            return await super().__call__(row)

    return Timed


class Idle(Analyst):
    """The pipeline around networks that do nothing."""

    def __init__(self, settings: Settings) -> None:
        chosen = offline(settings)
        models = {task: NoOpModel(read_card(card_path(card))) for task, card in settings.cards().items()}
        self.pipeline = Pipeline(
            {task: LocalBranch(Replica(model)) for task, model in models.items()},  # type: ignore[arg-type]
            max_pixels=chosen.max_pixels,
            timeout_s=chosen.timeout_s,
            decode_threads=chosen.decode_threads,
            capacity=chosen.capacity,
        )


def make(folder: Path, pictures: list[bytes], count: int) -> None:
    """So many files, of these pictures by turns."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:06}.jpg").write_bytes(pictures[number % len(pictures)])


async def floor(folder: Path, count: int) -> float:
    """Photos a second of bare processes."""
    contender = Floor("floor", [], heap_variables(), CORES, folder / "floor.log")
    photos = Photos(one_size(), folder / "floor")
    await contender.start()
    try:
        for _ in range(2):  # the first round warms up
            began = time.monotonic()
            await asyncio.gather(*(contender.ask(photos, number) for number in range(count)))
        return count / (time.monotonic() - began)
    finally:
        await contender.stop()


@app.command()
def speed(count: Count = 400, rows_a_part: Annotated[int, typer.Option()] = 256) -> None:
    """Photos a second beside the floor's, from the first picture to the last part; the start is stated apart."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder / "photos", one_size(), count)
        (folder / "began").mkdir()
        before = asyncio.run(floor(folder, count // 4))
        started, busy, written = time.time(), processes.busy_s(), 0
        with cluster(None):
            workers, found = Workers(CORES, 1, 0.0), listing(str(folder / "photos"))
            output = Place.at(str(folder / "out"))
            for rows in analyse(found, set(), output, SETTINGS, workers, rows_a_part, timed(folder / "began")):
                written += rows
                ended, own = time.time(), processes.trees([os.getpid()])
                others_s = processes.busy_s() - busy - sum(stat.cpu_s for stat in own.values())
        began = min(file.stat().st_mtime for file in (folder / "began").iterdir())
        after = asyncio.run(floor(folder, count // 4))
    rate, bare = written / (ended - began), (before + after) / 2
    print(f"floor {before:.1f}/s before, {after:.1f}/s after; batch {rate:.1f}/s, {rate / bare:.2f} of it")
    print(f"{written} pictures in {ended - began:.1f} s, after a start of {began - started:.1f} s")
    print(f"other processes took {others_s / (ended - started) / CORES:.0%} of the CPU meanwhile")


@app.command()
def memory(count: Count = 20_000, rows_a_part: Annotated[int, typer.Option()] = 256) -> None:
    """Memory of all processes as small pictures go by, with networks that do nothing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder / "pictures", [jpeg_of_width(320)], count)
        seen, shown = 0, 0
        began = time.monotonic()
        with cluster(None):
            workers, found = Workers(CORES, 1, 0.0), listing(str(folder / "pictures"))
            output = Place.at(str(folder / "out"))
            for written in analyse(found, set(), output, SETTINGS, workers, rows_a_part, Idle):
                seen += written
                if seen >= shown + count // 10:
                    shown = seen
                    used = processes.memory(processes.trees([os.getpid()]))
                    total = sum(each.pss_mb for each in used.values())
                    worker = max(
                        each.pss_mb for each in used.values() if "Analyst" in each.title or "Map" in each.title
                    )
                    rate = seen / (time.monotonic() - began)
                    print(f"{seen} pictures, {rate:.0f}/s: {total:.0f} MB in all, largest worker {worker:.0f} MB")


@app.command()
def killed(count: Count = 300, rows_a_part: Annotated[int, typer.Option()] = 16) -> None:
    """Kill a worker twice, then the whole run, and start it again: what the output then holds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder / "photos", one_size(), count)
        command = [sys.executable, "-c", "from serve_app.cli import main; main()", "batch"]
        command += [str(folder / "photos"), str(folder / "out"), f"--rows-a-part={rows_a_part}"]
        output = Place.at(str(folder / "out"))
        run = subprocess.Popen(command)
        for share in (0.2, 0.4):
            wait_for(output, count * share, rows_a_part)
            victim = next(
                pid for pid, title in processes.titles(processes.trees([run.pid])).items() if is_worker(title)
            )
            print(f"{row_count(output)} rows: killing worker {victim}")
            os.kill(victim, signal.SIGKILL)
        wait_for(output, count * 0.6, rows_a_part)
        family = processes.trees([run.pid])
        run.kill()
        run.wait()
        for pid in family.keys() & processes.processes().keys():
            os.kill(pid, signal.SIGKILL)
        kept = row_count(output)
        print(f"{kept} rows: run killed; starting it again")
        again = subprocess.run(command, check=False).returncode
        paths = Counter(path for part in read_parts(output, ["path"]) for path in part["path"].to_pylist())
        print(f"ended with {again}: {len(paths)} of {count} pictures have a row, {sum(paths.values())} rows in all")


def jpeg_of_width(width: int) -> bytes:
    """A small photo of a person."""
    _, person, _ = sources()
    return jpeg(np.asarray(person.resize((width, width))))


def row_count(output: Place) -> int:
    """Rows that are written."""
    return sum(part.num_rows for part in read_parts(output, ["path"]))


def wait_for(output: Place, count: float, rows_a_part: int) -> None:
    """Until about so many rows are written."""
    while len(parts(output)) * rows_a_part < count:
        time.sleep(0.2)


def is_worker(title: str) -> bool:
    """Whether a process is one of the actors with models."""
    return title.startswith("ray::") and "Analyst" in title


if __name__ == "__main__":
    app()
