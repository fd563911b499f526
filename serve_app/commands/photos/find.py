"""Which photos a command line means."""

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif")
)
"""Of the photos in a folder; a file that is named itself may have any."""


class FoundPhoto(NamedTuple):
    """A photo, and its place below the folder that was named, or its name where it was named itself."""

    path: Path
    place: Path


def find_photos(given: Sequence[Path]) -> list[FoundPhoto]:
    """Files as they are, photos of folders and what is below them, matches of patterns; each once, in order.

    What is hidden in folders is left out. Raises ValueError for a path with nothing to it.
    """
    photos: dict[Path, FoundPhoto] = {}
    for path in given:
        found = list(_below(path) if path.is_dir() else _matching(path))
        if not found:
            raise ValueError(f"{path}: no photo is there")
        for photo in found:
            photos.setdefault(photo.path, photo)
    return list(photos.values())


def _below(folder: Path) -> Iterator[FoundPhoto]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if not name.startswith(".") and path.suffix.lower() in SUFFIXES:
                yield FoundPhoto(path, path.relative_to(folder))


def _matching(pattern: Path) -> Iterator[FoundPhoto]:
    if pattern.is_file():
        yield FoundPhoto(pattern, Path(pattern.name))
        return
    for match in sorted(glob.glob(str(pattern), recursive=True)):
        if os.path.isfile(match):
            yield FoundPhoto(Path(match), Path(match).relative_to(_fixed_part(pattern)))


def _fixed_part(pattern: Path) -> Path:
    """The folder down to the first part of a pattern that has a wildcard."""
    fixed = Path()
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        fixed /= part
    return fixed
