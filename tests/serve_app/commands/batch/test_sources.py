import tarfile
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serve_app.commands.batch.places import Place
from serve_app.commands.batch.sources import Picture, listing, pictures


def write_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> None:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, BytesIO(data))


def read(folder: Path, name: str, done: set[str] | None = None) -> list[Picture]:
    return list(pictures(Place.at(str(folder)), name, done or set()))


def test_a_folder_is_listed_by_names_from_it_on(tmp_path: Path) -> None:
    for name in ("b.JPG", "deep/a.png", "shard.tar", "rows.parquet", "notes.txt", ".hidden.jpg", ".cache/x.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = listing(str(tmp_path))
    assert found.pictures == ["b.JPG", "deep/a.png"]
    assert found.containers == ["rows.parquet", "shard.tar"]
    assert found.skipped == 1


def test_one_file_is_taken_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "upload").write_bytes(b"bytes")
    found = listing(str(tmp_path / "upload"))
    assert found.pictures == ["upload"]
    assert list(pictures(found.place, "upload", set())) == [Picture("upload", b"bytes")]


@pytest.mark.parametrize("location", ["nowhere", "ftp://host/photos"])
def test_an_input_with_nothing_to_read_is_named(tmp_path: Path, location: str) -> None:
    with pytest.raises(ValueError, match=location):
        listing(location if "://" in location else str(tmp_path / location))


@pytest.mark.parametrize(("suffix", "mode"), [("tar", "w"), ("tar.gz", "w:gz"), ("tgz", "w:gz")])
def test_pictures_of_a_tar_but_for_those_done(tmp_path: Path, suffix: str, mode: str) -> None:
    name = f"shard.{suffix}"
    write_tar(tmp_path / name, {"1.jpg": b"one", "1.json": b"{}", "deep/2.png": b"two", "3.jpg": b"three"}, mode)
    assert read(tmp_path, name, {f"{name}/3.jpg"}) == [
        Picture(f"{name}/1.jpg", b"one"),
        Picture(f"{name}/deep/2.png", b"two"),
    ]


def test_a_tar_that_breaks_off_gives_what_it_has_and_says_so(tmp_path: Path) -> None:
    write_tar(tmp_path / "shard.tar", {"1.jpg": b"1" * 600, "2.jpg": b"2" * 5000})
    (tmp_path / "shard.tar").write_bytes((tmp_path / "shard.tar").read_bytes()[:3000])
    first, last = read(tmp_path, "shard.tar")
    assert first == Picture("shard.tar/1.jpg", b"1" * 600)
    assert last.path == "shard.tar"
    assert last.problem is not None
    assert last.problem.startswith("shard.tar cannot be read: ")


@pytest.mark.parametrize(
    ("column", "values"),
    [("bytes", [b"0", b"1", b"2"]), ("image", [{"bytes": each, "path": "x"} for each in (b"0", b"1", b"2")])],
)
def test_pictures_of_parquet_go_by_their_row(tmp_path: Path, column: str, values: list[object]) -> None:
    pq.write_table(pa.table({"label": [1, 2, 3], column: values}), tmp_path / "rows.parquet")
    assert read(tmp_path, "rows.parquet", {"rows.parquet/1"}) == [
        Picture("rows.parquet/0", b"0"),
        Picture("rows.parquet/2", b"2"),
    ]


def test_parquet_without_pictures_names_its_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"label": [1]}), tmp_path / "rows.parquet")
    (only,) = read(tmp_path, "rows.parquet")
    assert only.problem == "rows.parquet cannot be read: it has no column bytes, image, data, content, but label"


def test_a_parquet_row_without_bytes_is_one_problem(tmp_path: Path) -> None:
    pq.write_table(pa.table({"bytes": [b"0", None]}), tmp_path / "rows.parquet")
    first, second = read(tmp_path, "rows.parquet")
    assert first.data == b"0"
    assert second == Picture("rows.parquet/1", problem="rows.parquet/1 holds no bytes in column bytes")


def test_a_file_that_is_gone_is_a_problem_by_its_name(tmp_path: Path) -> None:
    (only,) = read(tmp_path, "gone.jpg")
    assert only.path == "gone.jpg"
    assert only.problem is not None
    assert only.problem.startswith("gone.jpg cannot be read: ")
