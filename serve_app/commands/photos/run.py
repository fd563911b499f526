"""Asks about photos, several at a time, and writes what comes back as it comes."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from serve_app.commands.photos.drawings import check_drawings, save_drawing
from serve_app.commands.photos.find import SUFFIXES, FoundPhoto
from serve_app.commands.photos.lines import Line, failed_line, line_of, take_up, write_to
from serve_app.commands.photos.report import csv_to, printable, table_of, what_failed

Ask = Callable[[Path], Awaitable[dict[str, Any]]]
"""Gives the answer about one photo, as the JSON of ``POST /analyze``. Raises PhotoFailed, OSError."""
LONGEST_TABLE = 100
"""Photos; of more the closing words must do."""


class PhotoFailed(Exception):
    """There is no answer about this photo; the others may have one."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Outputs:
    """Where the answers go; None for what is not wanted."""

    lines: Path | None = None
    """File of JSON lines, which is gone on with where it exists."""
    json: bool = False
    """Whether the lines of this run go to standard output, in place of the table."""
    drawings: Path | None = None
    """Folder of the drawn pictures."""
    csv: Path | None = None
    """File of the summary, a row a photo."""

    def check(self, photos: Sequence[FoundPhoto]) -> None:
        """Raise ValueError where one of them would overwrite a photo, or a drawing another."""
        for file in (self.lines, self.csv):
            if file is not None and file.suffix.lower() in SUFFIXES:
                raise ValueError(f"{file} is named like a photo; name another file to write to")
        if self.drawings is not None:
            check_drawings(photos, self.drawings)


async def run_photos(photos: Sequence[FoundPhoto], outputs: Outputs, ask: Ask, concurrency: int) -> bool:
    """Ask about each photo that no earlier run has answered; true if each was answered without an error.

    Raises ValueError and OSError for files that cannot be written, and what ``ask`` raises of its own.
    """
    outputs.check(photos)
    console = Console(stderr=True)
    earlier: set[str] = set()
    shown: dict[Path, Line] = {}
    failed = 0
    with ExitStack() as stack:
        add_row = _summary(stack, outputs.csv)

        def seen(line: Line) -> None:
            earlier.add(line["path"])
            add_row(line)

        if outputs.lines is not None:
            take_up(outputs.lines, seen)
        waiting = [photo for photo in photos if str(photo.path) not in earlier]
        tabled = not outputs.json and len(waiting) <= LONGEST_TABLE
        write = _writer(stack, outputs)
        progress = stack.enter_context(_progress(console))
        bar = progress.add_task("photos", total=len(waiting))
        unasked = iter(waiting)

        async def work() -> None:
            nonlocal failed
            for photo in unasked:
                line = await _line(photo, ask, outputs.drawings)
                write(line)
                add_row(line)
                if tabled:
                    shown[photo.path] = line
                if line["errors"]:
                    failed += 1
                    console.print(Text(f"{printable(line['path'])}: {what_failed(line)}"), soft_wrap=True)
                progress.advance(bar)

        await _together(work, concurrency)
    if shown:
        Console().print(table_of([shown[photo.path] for photo in waiting]))
    before = f", {len(earlier)} by an earlier run" if earlier else ""
    counted = "1 photo" if len(waiting) == 1 else f"{len(waiting)} photos"
    console.print(f"{counted}: {len(waiting) - failed} answered, {failed} failed{before}", highlight=False)
    return not failed


async def _line(photo: FoundPhoto, ask: Ask, drawings: Path | None) -> Line:
    try:
        answer = await ask(photo.path)
    except PhotoFailed as failure:
        return failed_line(photo.path, failure.code, str(failure))
    except OSError as error:
        return failed_line(photo.path, "unreadable_file", error.strerror or str(error))
    uri = answer["images"][0].get("annotated")
    if drawings is not None and uri is not None:
        save_drawing(uri, drawings, photo.place)
    return line_of(photo.path, answer)


def _summary(stack: ExitStack, file: Path | None) -> Callable[[Line], None]:
    """A function that adds a photo to the summary, where one is wanted."""
    if file is None:
        return lambda line: None
    return csv_to(stack.enter_context(file.open("w", encoding="utf-8", errors="backslashreplace", newline="")))


def _writer(stack: ExitStack, outputs: Outputs) -> Callable[[Line], None]:
    """A function that writes a line wherever lines are wanted."""
    writers: list[Callable[[Line], None]] = []
    if outputs.lines is not None:
        writers.append(write_to(stack.enter_context(outputs.lines.open("ab"))))
    if outputs.json:
        writers.append(write_to(sys.stdout.buffer))

    def write(line: Line) -> None:
        for one in writers:
            one(line)

    return write


async def _together(work: Callable[[], Coroutine[Any, Any, None]], count: int) -> None:
    """Run ``work`` so many times at once; the first exception ends all and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(work())
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
