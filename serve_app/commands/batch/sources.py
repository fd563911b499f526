"""Where pictures come from: files, WebDataset's tar files, Parquet files with a column of bytes."""

import tarfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from serve_app.commands.batch.places import Place

PICTURES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".heic", ".heif"),
    *(".bmp", ".tif", ".tiff", ".gif"),
)
TARS = (".tar", ".tar.gz", ".tgz")
PARQUET = ".parquet"
COLUMNS = ("bytes", "image", "data", "content")
"""Of a Parquet file, the first that it has holds the pictures: bytes, or a struct with a field ``bytes``."""
ROWS_AT_ONCE = 16
"""Pictures of a Parquet file in memory at a time."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture's bytes, or why they cannot be read."""

    path: str
    """From the input on: ``2024/a.jpg``, ``shard-0.tar/a.jpg``, ``part-0.parquet/17``."""
    data: bytes = b""
    problem: str | None = None


@dataclass(slots=True)
class Listing:
    """The files of an input."""

    place: Place
    """The folder that the names start from."""
    pictures: list[str] = field(default_factory=list)
    containers: list[str] = field(default_factory=list)
    """Files that hold many pictures."""
    skipped: int = 0
    """Files whose names are those of no picture and no container."""


def listing(location: str) -> Listing:
    """Look through a folder, or take one file whatever its name. Raises ValueError where there is nothing to read."""
    place = Place.at(location)
    if place.is_file():
        folder, _, name = place.path.rpartition("/")
        found = Listing(Place(place.filesystem, folder))
        (found.containers if is_container(name) else found.pictures).append(name)
        return found
    found = Listing(place)
    for name in place.files():
        if is_container(name):
            found.containers.append(name)
        elif name.lower().endswith(PICTURES):
            found.pictures.append(name)
        else:
            found.skipped += 1
    if not found.pictures and not found.containers:
        raise ValueError(f"{location}: no pictures, tar or Parquet files there")
    return found


def is_container(name: str) -> bool:
    """Whether a file of this name holds many pictures."""
    return name.lower().endswith((*TARS, PARQUET))


def pictures(place: Place, name: str, done: Collection[str]) -> Iterator[Picture]:
    """Each picture of a file, but for those whose paths are ``done``.

    A file that cannot be read, or no further, ends with a picture that says so, by the path of the file.
    """
    file = place / name
    try:
        if name.lower().endswith(TARS):
            yield from _of_tar(file, name, done)
        elif name.lower().endswith(PARQUET):
            yield from _of_parquet(file, name, done)
        else:
            yield Picture(name, file.read())
    except (OSError, tarfile.TarError, EOFError, pa.ArrowException) as error:
        yield Picture(name, problem=f"{name} cannot be read: {error}")


def _of_tar(file: Place, name: str, done: Collection[str]) -> Iterator[Picture]:
    with (
        file.filesystem.open_input_stream(file.path, compression=None, buffer_size=1 << 20) as stream,
        tarfile.open(fileobj=stream, mode="r|*") as tar,
    ):
        for member in tar:
            path = f"{name}/{member.name}"
            if member.isfile() and member.name.lower().endswith(PICTURES) and path not in done:
                content = tar.extractfile(member)
                assert content is not None, "a file has content"
                yield Picture(path, content.read())


def _of_parquet(file: Place, name: str, done: Collection[str]) -> Iterator[Picture]:
    with file.filesystem.open_input_file(file.path) as source, pq.ParquetFile(source) as parquet:
        names = parquet.schema_arrow.names
        column = next((column for column in COLUMNS if column in names), None)
        if column is None:
            raise OSError(f"it has no column {', '.join(COLUMNS)}, but {', '.join(names)}")
        row = 0
        for batch in parquet.iter_batches(ROWS_AT_ONCE, columns=[column]):
            for value in batch.column(0).to_pylist():
                data = value.get("bytes") if isinstance(value, dict) else value
                path = f"{name}/{row}"
                row += 1
                if path in done:
                    continue
                if isinstance(data, bytes):
                    yield Picture(path, data)
                else:
                    yield Picture(path, problem=f"{path} holds no bytes in column {column}")
