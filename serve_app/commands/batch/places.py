"""Folders and files by path or URI, on any of pyarrow's filesystems."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import uuid4

from pyarrow import NativeFile
from pyarrow.fs import FileSelector, FileSystem, FileType


@dataclass(frozen=True, slots=True)
class Place:
    """A folder or file: a local path, or a URI such as ``s3://bucket/photos`` or ``gs://bucket/photos``."""

    filesystem: FileSystem
    path: str

    @classmethod
    def at(cls, location: str) -> Self:
        """Raises ValueError for a URI whose filesystem is not known, or cannot be reached."""
        uri = location if "://" in location else str(Path(location).absolute())
        try:
            return cls(*FileSystem.from_uri(uri))
        except (ValueError, OSError) as error:  # pyarrow's own errors are both
            raise ValueError(f"{location}: {error}") from error

    def __truediv__(self, name: str) -> "Place":
        return Place(self.filesystem, f"{self.path.rstrip('/')}/{name}" if name else self.path)

    def is_file(self) -> bool:
        """Whether it is there, as a file."""
        return bool(self.filesystem.get_file_info(self.path).type is FileType.File)

    def files(self) -> list[str]:
        """Names, from this folder on, of all files below it, in order; none where it is not there.

        Hidden ones are left out: names that begin with a dot.
        """
        found = self.filesystem.get_file_info(FileSelector(self.path, recursive=True, allow_not_found=True))
        skip = len(self.path.rstrip("/")) + 1
        names = sorted(info.path[skip:] for info in found if info.type is FileType.File)
        return [name for name in names if not any(part.startswith(".") for part in name.split("/"))]

    def read(self) -> bytes:
        """The whole file. Raises OSError."""
        with self.filesystem.open_input_stream(self.path, compression=None) as stream:
            return bytes(stream.read())

    @contextmanager
    def writing(self) -> Iterator[NativeFile]:
        """The file, to be written at once: a reader sees what was there before, or all of it; after an error, none."""
        folder, _, name = self.path.rpartition("/")
        self.filesystem.create_dir(folder)
        unfinished = f"{folder}/.{name}.{uuid4().hex}"
        try:
            with self.filesystem.open_output_stream(unfinished, compression=None) as stream:
                yield stream
            self.filesystem.move(unfinished, self.path)
        except BaseException:
            with suppress(OSError):
                self.filesystem.delete_file(unfinished)
            raise

    def write(self, data: bytes) -> None:
        """The whole file, at once."""
        with self.writing() as stream:
            stream.write(data)
