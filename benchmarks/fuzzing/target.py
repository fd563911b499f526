"""What every target is."""

import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Target:
    """A parser under test.

    seeds: valid inputs, by a name for their file; check: takes any bytes, and raises what no input may make happen;
    whatever the parser documents that it raises is swallowed.
    """

    seeds: Mapping[str, bytes]
    check: Callable[[bytes], None]


class WrongAnswer(AssertionError):
    """An answer that no request may get."""


def of_path(read: Callable[[Path], Any], suffix: str) -> Callable[[bytes], None]:
    """A check of a reader that takes a path and raises ValueError for whatever it refuses."""
    path = Path(tempfile.mkdtemp(prefix="fuzz-")) / f"input{suffix}"

    def check(data: bytes) -> None:
        path.write_bytes(data)
        with suppress(ValueError):
            read(path)

    return check
