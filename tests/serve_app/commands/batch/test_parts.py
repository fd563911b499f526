from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest

from serve_app.commands.batch.parts import finished, parts, read_parts, write_part
from serve_app.commands.batch.places import Place


def answer(*codes: str) -> bytes:
    """An image's answer, with errors of these codes."""
    image = {"id": 1, "name": None, "width": 0, "height": 0, "faces": [], "instances": [], "people": []}
    return orjson.dumps({"images": [image | {"errors": [{"code": code, "message": code} for code in codes]}]})


def paths(output: Place) -> list[str]:
    return [path for table in read_parts(output, ["path"]) for path in table["path"].to_pylist()]


def test_the_same_pictures_overwrite_their_part(tmp_path: Path) -> None:
    output = Place.at(str(tmp_path))
    for _ in range(2):
        write_part(output, ["a.jpg", "b.jpg"], [answer(), answer("unreadable_image")])
    write_part(output, ["c.jpg"], [answer()])
    assert len(parts(output)) == 2
    assert sorted(paths(output)) == ["a.jpg", "b.jpg", "c.jpg"]
    assert pq.read_table(tmp_path).num_rows == 3


def test_what_may_pass_is_not_finished_and_loses_its_row(tmp_path: Path) -> None:
    output = Place.at(str(tmp_path))
    names = ["good.jpg", "bad.jpg", "gone.jpg", "odd.jpg"]
    write_part(output, names, [answer(), answer("unreadable_image"), answer("unreadable_file"), answer("internal")])
    for _ in range(2):
        assert finished(output) == {"good.jpg", "bad.jpg"}
        assert paths(output) == ["good.jpg", "bad.jpg"]


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    output = Place.at(str(tmp_path / "out"))

    def half() -> None:
        with (output / "part-1.parquet").writing() as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert list((tmp_path / "out").iterdir()) == []
    assert output.files() == []


def test_what_a_killed_run_left_half_written_is_no_part(tmp_path: Path) -> None:
    (tmp_path / ".part-1.parquet.0123").write_bytes(b"half")
    assert parts(Place.at(str(tmp_path))) == []
