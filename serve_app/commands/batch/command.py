"""A batch run from its arguments to its report."""

import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import orjson
import ray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from deployments.models.card import card_path, read_card
from serve_app.commands.batch.coco import write_coco
from serve_app.commands.batch.parts import finished, read_parts
from serve_app.commands.batch.places import Place
from serve_app.commands.batch.run import Workers, analyse
from serve_app.commands.batch.sources import listing
from serve_app.settings import Settings

RUN = "_run.json"
"""Says what the folder's answers are of; readers of Parquet folders skip names that begin so."""


@dataclass(slots=True)
class Report:
    """What the output folder holds."""

    pictures: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    """By code."""
    faces: Counter[str] = field(default_factory=Counter)
    """By label."""
    instances: int = 0
    objects: int = 0


def batch(
    source: str,
    target: str,
    settings: Settings,
    *,
    address: str | None,
    workers: int | None,
    gpus: float,
    rows_a_part: int,
    coco: str | None,
) -> bool:
    """Analyse all pictures of ``source`` into Parquet files in the folder ``target``; true if each could be answered.

    Raises ValueError where there is nothing to read, or the folder holds the answers of another run.
    """
    console = Console()
    found, output = listing(source), Place.at(target)
    claim(output, found.place.path, settings)
    done = finished(output)
    started, analysed = time.monotonic(), 0
    with cluster(address), progress(console) as shown:
        chosen = choose(workers, gpus)
        console.print(f"{len(found.pictures)} files, {len(found.containers)} tar or Parquet files; {len(done)} done")
        total = None if found.containers else len(found.pictures)
        bar = shown.add_task("pictures", total=total, completed=len(done))
        for rows in analyse(found, done, output, settings, chosen, rows_a_part):
            analysed += rows
            shown.update(bar, completed=len(done) + analysed)
    took = time.monotonic() - started
    report = read_report(output)
    console.print(as_table(report, found.skipped))
    console.print(f"{analysed} analysed now, in {took:.1f} s, the start included: {analysed / took:.1f}/s; in {target}")
    if coco:
        write_coco(output, Place.at(coco), settings)
    return not report.errors


def claim(output: Place, source: str, settings: Settings) -> None:
    """Write down what the folder's answers are of. Raises ValueError where it holds those of something else."""
    models = {task: read_card(card_path(card)).identity for task, card in settings.cards().items()}
    mine = {"input": source, "models": models, "precision": settings.precision, "max_pixels": settings.max_pixels}
    file = output / RUN
    if not file.is_file():
        if output.files():
            raise ValueError(f"{output.path} holds other files: choose an empty folder, or one of an earlier run")
        file.write(orjson.dumps(mine, option=orjson.OPT_INDENT_2))
        return
    theirs = orjson.loads(file.read())
    for name, value in mine.items():
        if theirs.get(name) != value:
            raise ValueError(
                f"{output.path} holds answers of {name} {theirs.get(name)}, not {value}: choose another folder"
            )


@contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """Ray: one that this process has, that of an address, or one of its own for as long as this takes."""
    if ray.is_initialized():
        yield
        return
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if address is None:
        ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    else:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def choose(count: int | None, gpus: float) -> Workers:
    """A worker a core, of one thread, or as many as the GPUs have room for; ``count`` where it is given.

    Raises ValueError where the cluster has no GPU.
    """
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cores = int(resources.get("CPU", 1))
    if gpus and not resources.get("GPU"):
        raise ValueError("the cluster has no GPU: leave --gpus out")
    count = count or (int(resources["GPU"] / gpus) if gpus else cores)
    return Workers(max(1, count), max(1, cores // count) if gpus else 1, gpus)


def progress(console: Console) -> Progress:
    """How many pictures, and when they should be done."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, TimeRemainingColumn(), console=console, transient=True)


def read_report(output: Place) -> Report:
    """Count what all runs have written, without reading masks."""
    report = Report()
    counted = ("faces.list.element.label", "instances.list.element.label", "objects.list.element.label", "errors")
    for table in read_parts(output, list(counted)):
        report.pictures += table.num_rows
        for row in table.to_pylist():
            report.errors.update(error["code"] for error in row["errors"])
            report.faces.update(face["label"] for face in row["faces"])
            report.instances += len(row["instances"])
            report.objects += len(row["objects"] or ())
    return report


def as_table(report: Report, skipped: int) -> Table:
    """The report, for people."""
    table = Table("what", "count")
    table.add_row("pictures with a row", f"{report.pictures}")
    for name, counts in (("faces", report.faces), ("errors", report.errors)):
        for label, count in counts.most_common():
            table.add_row(f"{name}: {label}", f"{count}")
    table.add_row("instances", f"{report.instances}")
    if report.objects:
        table.add_row("objects", f"{report.objects}")
    if skipped:
        table.add_row("files skipped, by name no picture", f"{skipped}")
    return table
