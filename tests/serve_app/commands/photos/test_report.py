import csv
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from serve_app.commands.photos.lines import Line, failed_line
from serve_app.commands.photos.report import COLUMNS, csv_to, table_of

ANSWERED: dict[str, Any] = {
    "path": "photos/a, b.jpg",
    "width": 640,
    "height": 480,
    "faces": [{"label": "MASK"}, {"label": "NO MASK"}, {"label": "MASK"}],
    "instances": [{"label": "person"}, {"label": "chair"}],
    "people": [{"instance": 0, "face": 1, "mask": "NO MASK"}],
    "objects": [{"label": "bottle"}],
    "errors": [],
    "timing_ms": {"total": 12.5},
}
FAILED = failed_line(Path("photos/c.jpg"), "overloaded", "too\nbusy")


def shown(*lines: Line) -> str:
    out = StringIO()
    Console(file=out, width=120).print(table_of(lines))
    return out.getvalue()


def test_the_summary() -> None:
    file = StringIO()
    add = csv_to(file)
    add(ANSWERED)
    add(FAILED)
    file.seek(0)
    first, second = csv.reader(file.readlines()[1:])
    assert dict(zip(COLUMNS, first, strict=True)) == {
        "path": "photos/a, b.jpg",
        "width": "640",
        "height": "480",
        "MASK": "2",
        "NO MASK": "1",
        "people": "1",
        "instances": "2",
        "objects": "1",
        "ms": "12.5",
        "error": "",
    }
    assert second == ["photos/c.jpg", *"0000000", "", "too busy"]


def test_the_table() -> None:
    table = shown(ANSWERED, FAILED)
    assert "2 MASK, 1 NO MASK" in table
    assert "1 person, 1 chair" in table
    assert "1 bottle" in table
    assert "failed" in table
    without_objects = {name: value for name, value in ANSWERED.items() if name != "objects"}
    assert "objects" not in shown(without_objects)
    assert "none" in shown({**without_objects, "faces": []})


def test_a_path_is_no_markup() -> None:
    assert "[red]a.jpg" in shown({**ANSWERED, "path": "[red]a.jpg"})


def test_a_path_that_is_no_unicode_can_be_printed() -> None:
    assert r"caf\udce9.jpg" in shown({**ANSWERED, "path": b"caf\xe9.jpg".decode(errors="surrogateescape")})
