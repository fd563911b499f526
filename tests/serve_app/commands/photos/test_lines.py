from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.client import read_answer
from serve_app.commands.photos.lines import Line, failed_line, line_of, take_up, write_to, written
from tests.serve_app.client.conftest import EMPTY


def answered(name: str) -> Line:
    return line_of(Path(name), EMPTY)


def left_in(file: Path) -> list[str]:
    """The paths that ``take_up`` tells, which must be those that it leaves."""
    seen: list[Line] = []
    take_up(file, seen.append)
    assert file.read_bytes() == b"".join(written(line) for line in seen)
    assert list(file.parent.iterdir()) == [file]
    return [line["path"] for line in seen]


def test_a_line_reads_as_an_answer() -> None:
    line = answered("photos/a.jpg")
    assert line["path"] == "photos/a.jpg"
    assert "id" not in line
    (analysis,) = read_answer({**line, "images": [line]})
    assert (analysis.width, analysis.height, analysis.request_id) == (3, 2, "me")


def test_every_line_has_the_same_fields() -> None:
    failed = failed_line(Path("a.jpg"), "overloaded", "too busy")
    assert failed.keys() == answered("a.jpg").keys()
    assert read_answer({**failed, "images": [failed]})[0].errors[0].message == "too busy"


def test_an_earlier_run_is_taken_up(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    with file.open("wb") as opened:
        write = write_to(opened)
        write(answered("a.jpg"))
        write(failed_line(Path("b.jpg"), "overloaded", "too busy"))
        write(answered("c.jpg"))
        assert file.read_bytes().count(b"\n") == 3  # flushed already
    assert left_in(file) == ["a.jpg", "c.jpg"]


def test_paths_that_are_no_unicode(tmp_path: Path) -> None:
    name = b"caf\xe9.jpg".decode(errors="surrogateescape")
    file = tmp_path / "answers.jsonl"
    file.write_bytes(written(answered(name)))
    assert left_in(file) == [name]


@given(cut=st.integers(0, 2 * len(written(answered("a.jpg")))))
def test_a_run_killed_at_any_byte(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("killed") / "answers.jsonl"
    whole = written(answered("a.jpg")) + written(answered("b.jpg"))
    file.write_bytes(whole[:cut])
    assert left_in(file) == ["a.jpg", "b.jpg"][: whole[:cut].count(b"\n")]


@pytest.mark.parametrize("content", [b"notes\n", b"notes", b"[]\n", b'{"path": 3, "errors": []}\n', b"\xff\xd8\xff"])
def test_another_file_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "notes.txt"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="line 1: no answer of an earlier run"):
        take_up(file, lambda line: None)
    assert file.read_bytes() == content
    assert list(tmp_path.iterdir()) == [file]


def test_no_earlier_run(tmp_path: Path) -> None:
    take_up(tmp_path / "answers.jsonl", lambda line: pytest.fail("there is none"))
    assert list(tmp_path.iterdir()) == []
