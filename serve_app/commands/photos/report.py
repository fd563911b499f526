"""What photos show, in a row each: for the table and the CSV file."""

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import IO, Any

from rich.table import Table
from rich.text import Text

from serve_app.commands.photos.lines import Line

COLUMNS = ("path", "width", "height", "MASK", "NO MASK", "people", "instances", "objects", "ms", "error")
"""Of the CSV file: pixels, then how many of each, the milliseconds of the whole request, and what went wrong."""


def _row(line: Line) -> dict[str, Any]:
    """A photo's row."""
    faces = Counter(face["label"] for face in line["faces"])
    return {
        "path": line["path"],
        "width": line["width"],
        "height": line["height"],
        "MASK": faces["MASK"],
        "NO MASK": faces["NO MASK"],
        "people": len(line["people"]),
        "instances": len(line["instances"]),
        "objects": len(line.get("objects", ())),
        "ms": line["timing_ms"].get("total", ""),
        "error": what_failed(line),
    }


def what_failed(line: Line) -> str:
    """A photo's errors in one line; empty where there are none."""
    return "; ".join(" ".join(error["message"].split()) for error in line["errors"])


def printable(path: str) -> str:
    """A path as it can be printed: bytes of it that are no Unicode are escaped."""
    return path.encode(errors="backslashreplace").decode()


def csv_to(file: IO[str]) -> Callable[[Line], None]:
    """Write the header of a CSV file; a function that adds a photo's row to it, at once."""
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()

    def write(line: Line) -> None:
        writer.writerow(_row(line))
        file.flush()

    return write


def table_of(lines: Sequence[Line]) -> Table:
    """What each photo shows, by label: ``2 MASK, 1 NO MASK``."""
    kinds = ["faces", "instances", *(["objects"] if any("objects" in line for line in lines) else [])]
    table = Table("photo", *kinds, "ms")
    for line in lines:
        counts = [_counted(found["label"] for found in line.get(kind, ())) for kind in kinds]
        cells = ["failed", *[""] * (len(kinds) - 1)] if line["errors"] else counts
        texts = (printable(line["path"]), *cells, line["timing_ms"].get("total", ""))
        table.add_row(*(Text(str(text)) for text in texts))
    return table


def _counted(labels: Iterable[str]) -> str:
    return ", ".join(f"{count} {label}" for label, count in Counter(labels).most_common()) or "none"
