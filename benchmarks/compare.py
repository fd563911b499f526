"""The service beside the floor and beside what a user might write instead: ``python -m benchmarks.compare``.

All contenders run at once and are asked by turns, so that a slow minute of the machine meets each of them. The floor is
both networks in bare processes, with the service's engine, on all cores. Prints tables; writes JSON and a picture.
Ratios hold on other machines, absolute figures do not. Linux only.
"""

import asyncio
import platform
import signal
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import photos
from benchmarks.contenders import CORES, Contender, Photos, Skipped
from benchmarks.lineup import all_contenders
from benchmarks.measure import Started, measure, start
from benchmarks.report import draw, load_table, memory_table
from benchmarks.result import Level, Measurement, Result, read, write

WARM_CLIENTS = 4
WARM_TIMES = 4
NARROWEST_TABLE = 150
"""Columns: the tables do not fold where the output is a file."""
console = Console(width=max(NARROWEST_TABLE, Console().width))


def main(
    contenders: Annotated[str, typer.Option(help="Names, comma-separated; all by default.")] = "",
    clients: Annotated[str, typer.Option(help="Closed loop.")] = "1,2,4,8,16,32,64",
    shares: Annotated[str, typer.Option(help="Open loop: per cent of each one's own capacity.")] = "50,80,100,200",
    mix: Annotated[bool, typer.Option(help="Also photos of 0.1 to 12 megapixels in 30 shapes.")] = True,
    seconds: Annotated[float, typer.Option(help="Of each measurement.")] = 12,
    rounds: Annotated[int, typer.Option(help="Times that each is measured.")] = 2,
    quick: Annotated[bool, typer.Option(help="Three minutes: 1, 4 and 16 clients, one round, no mix.")] = False,
    precision: Annotated[str, typer.Option(help="Of the service and the floor: float32 or bfloat16.")] = "float32",
    photo: Annotated[list[Path] | None, typer.Option(help="Your own in place of the one size; repeatable.")] = None,
    add: Annotated[bool, typer.Option("--add", help="Further rounds, or loads, to those in the folder.")] = False,
    port: Annotated[int, typer.Option(help="The first that may be used.")] = 8300,
    output: Annotated[Path, typer.Option(help="Folder for compare.json and compare.png.")] = Path("runs/compare"),
) -> None:
    if quick:
        contenders = contenders or "floor,floor-one-photo,service,fastapi"
        clients, shares, mix, seconds, rounds = "1,4,16", "", False, 8, 1
    known = all_contenders(port, precision)
    chosen = contenders.split(",") if contenders else list(known)
    if unknown := set(chosen) - known.keys():
        raise typer.BadParameter(f"unknown contender {min(unknown)!r}; known: {', '.join(known)}")
    with tempfile.TemporaryDirectory() as folder:
        one = [path.read_bytes() for path in photo] if photo else photos.one_size()
        sets = {"one size": Photos(one, Path(folder, "one"))}
        if mix:
            sets["mix"] = Photos(photos.mixed(), Path(folder, "mix"))
        levels = [Level(name, clients=number) for name in sets for number in integers(clients)]
        levels += [Level("one size", share=percent / 100) for percent in integers(shares)]
        result = Result(machine(), precision, datetime.now(UTC).isoformat(timespec="seconds"))
        asyncio.run(run(result, {name: known[name] for name in chosen}, sets, levels, seconds, rounds))
    output.mkdir(parents=True, exist_ok=True)
    if add and (output / "compare.json").is_file():
        earlier = read(output / "compare.json")
        earlier.add(result)
        result = earlier
    console.print(memory_table(result.entrants), load_table(result.rows()))
    draw(result.rows(), result.entrants, output / "compare.png")
    write(result, output / "compare.json")
    console.print(f"written: {output / 'compare.json'}, {output / 'compare.png'}")


def integers(text: str) -> list[int]:
    """Comma-separated."""
    return [int(word) for word in text.split(",") if word]


async def run(
    result: Result,
    contenders: dict[str, Callable[[], Contender]],
    sets: dict[str, Photos],
    levels: list[Level],
    seconds: float,
    rounds: int,
) -> None:
    """Start all, measure by turns into ``result``, stop all; where it is interrupted, what was measured stays."""
    task = asyncio.current_task()
    assert task
    # Only once: what is stopped then is to end in peace.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: task.cancelling() or task.cancel())
    started: list[Started] = []
    rows = result.measurements
    try:
        for name, make in contenders.items():
            try:
                started.append(await start(make()))
                console.print(f"{name}: ready after {started[-1].ready_s:.1f} s")
            except Skipped as reason:
                result.skipped[name] = str(reason)
                console.print(f"{name}: skipped, {reason}")
        for each in started:
            for bodies in sets.values():
                await warm(each, bodies)
        for number in range(rounds):
            for level in levels:
                for each in started if number % 2 == 0 else reversed(started):
                    if (most := each.contender.most_clients) and (level.clients or most + 1) > most:
                        continue
                    rows.append(await measure(each, sets[level.photos], level, seconds, capacity(each, level, rows)))
                    console.print(f"{rows[-1].contender}, {level}: {rows[-1].per_second:.2f}/s", style="dim")
    except asyncio.CancelledError:
        console.print("stopped early")
    finally:
        for each in started:
            await each.contender.stop()
        result.entrants = [each.entrant() for each in started]


async def warm(started: Started, bodies: Photos) -> None:
    """Let a contender's processes meet every shape of photo, a few at a time."""
    numbers = iter(range(WARM_TIMES * len(bodies.bodies)))

    async def client() -> None:
        for number in numbers:
            await started.contender.ask(bodies, number // WARM_TIMES)

    await asyncio.gather(*(client() for _ in range(WARM_CLIENTS)))


def capacity(started: Started, level: Level, rows: list[Measurement]) -> float:
    """The most answers a second that a contender has given to these photos so far."""
    name = started.contender.name
    seen = [row.per_second for row in rows if row.contender == name and row.level.photos == level.photos]
    return max(seen, default=1.0)


def machine() -> str:
    """Its cores, as Linux names them."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{CORES} cores, {name}"


if __name__ == "__main__":
    typer.run(main)
