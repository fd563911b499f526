import asyncio
import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from serve_app.commands.photos.find import FoundPhoto
from serve_app.commands.photos.run import Outputs, PhotoFailed, run_photos
from tests.serve_app.client.conftest import EMPTY

NAMES = [f"{n}.jpg" for n in range(6)]
PHOTOS = [FoundPhoto(Path(name), Path(name)) for name in NAMES]


async def empty(photo: Path) -> dict[str, Any]:
    return EMPTY


def paths(lines: Path) -> list[str]:
    return [json.loads(line)["path"] for line in lines.read_text().splitlines()]


async def test_as_many_at_a_time_as_asked(tmp_path: Path) -> None:
    ongoing = most = 0

    async def ask(photo: Path) -> dict[str, Any]:
        nonlocal ongoing, most
        ongoing += 1
        most = max(most, ongoing)
        await asyncio.sleep(0)
        ongoing -= 1
        return EMPTY

    assert await run_photos(PHOTOS, Outputs(tmp_path / "a.jsonl"), ask, concurrency=3)
    assert most == 3
    assert sorted(paths(tmp_path / "a.jsonl")) == NAMES


async def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path / "a.jsonl", csv=tmp_path / "a.csv")
    asked: list[str] = []

    async def ask(photo: Path) -> dict[str, Any]:
        asked.append(photo.name)
        if len(asked) == 3:
            raise PhotoFailed("overloaded", "too busy")
        if len(asked) == 5:
            raise LookupError("the end")
        return EMPTY

    with pytest.raises(LookupError):
        await run_photos(PHOTOS, outputs, ask, concurrency=1)
    assert outputs.lines is not None
    outputs.lines.write_bytes(outputs.lines.read_bytes() + b'{"path":"4.jp')
    assert await run_photos(PHOTOS, outputs, ask, concurrency=1)
    assert asked == [*NAMES[:5], "2.jpg", "4.jpg", "5.jpg"]
    assert sorted(paths(outputs.lines)) == NAMES
    assert outputs.csv is not None
    rows = list(csv.DictReader(outputs.csv.open()))
    assert sorted(row["path"] for row in rows) == NAMES
    assert {row["error"] for row in rows} == {""}


async def test_photos_that_fail_are_told_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def ask(photo: Path) -> dict[str, Any]:
        match photo.name:
            case "0.jpg":
                raise PhotoFailed("unreadable_image", "no picture\nat all")
            case "1.jpg":
                raise FileNotFoundError(2, "No such file or directory")
            case "2.jpg":
                failure = {"code": "unavailable", "message": "no model", "task": "mask_detection"}
                return {**EMPTY, "images": [{**EMPTY["images"][0], "errors": [failure]}]}
        return EMPTY

    outputs = Outputs(json=True, csv=tmp_path / "a.csv")
    assert not await run_photos(PHOTOS, outputs, ask, concurrency=2)
    told = capsys.readouterr()
    assert [len(json.loads(line)["errors"]) for line in told.out.splitlines()] == [1, 1, 1, 0, 0, 0]
    assert told.err.splitlines() == [
        "0.jpg: no picture at all",
        "1.jpg: No such file or directory",
        "2.jpg: no model",
        "6 photos: 3 answered, 3 failed",
    ]
    assert outputs.csv is not None
    errors = [row["error"] for row in csv.DictReader(outputs.csv.open())]
    assert errors[:4] == ["no picture at all", "No such file or directory", "no model", ""]


async def test_what_ends_the_run_is_raised_as_it_is() -> None:
    async def ask(photo: Path) -> dict[str, Any]:
        raise LookupError("of every photo")

    with pytest.raises(LookupError, match="of every photo"):
        await run_photos(PHOTOS, Outputs(), ask, concurrency=3)


async def test_files_named_like_photos_are_not_written(tmp_path: Path) -> None:
    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"a photo")
    for outputs in (Outputs(csv=photo), Outputs(lines=photo)):
        with pytest.raises(ValueError, match="named like a photo"):
            await run_photos(PHOTOS, outputs, empty, concurrency=1)
    assert photo.read_bytes() == b"a photo"


async def test_the_table_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert await run_photos(PHOTOS, Outputs(), empty, concurrency=1)
    told = capsys.readouterr()
    assert re.findall(r"\d\.jpg", told.out) == NAMES
    assert "failed" not in told.out
    many = [FoundPhoto(Path(f"{n}.jpg"), Path(f"{n}.jpg")) for n in range(101)]
    assert await run_photos(many, Outputs(), empty, concurrency=1)
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "101 photos: 101 answered, 0 failed\n")
    assert await run_photos(many[:1], Outputs(json=True), empty, concurrency=1)
    assert capsys.readouterr().err == "1 photo: 1 answered, 0 failed\n"
