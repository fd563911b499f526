"""Answers as JSON lines, one a photo, which a run that was killed goes on with."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

Line = dict[str, Any]
"""A photo's ``path`` and its entry of ``images``, beside the answer's ``models``, ``request_id`` and ``timing_ms``."""
BEGINNING = b'{"path":'


def line_of(path: Path, answer: Line) -> Line:
    """The line of a photo by the service's answer about it alone, without the drawn picture."""
    (image,) = answer["images"]
    about = {name: answer[name] for name in ("models", "request_id", "timing_ms")}
    kept = {name: value for name, value in image.items() if name not in ("id", "annotated")}
    return {"path": str(path), **kept, **about}


def failed_line(path: Path, code: str, message: str) -> Line:
    """The line of a photo that got no answer: the same fields, with nothing found."""
    nothing: Line = {"name": path.name, "width": 0, "height": 0, "faces": [], "instances": [], "people": []}
    errors = [{"code": code, "message": message}]
    return {"path": str(path), **nothing, "errors": errors, "models": {}, "request_id": "", "timing_ms": {}}


def written(line: Line) -> bytes:
    """A line as it is in the file."""
    # What of a path is no Unicode is written escaped, which reads back as the same path.
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def write_to(file: IO[bytes]) -> Callable[[Line], None]:
    """A function that adds a line to a file, at once and whole."""

    def write(line: Line) -> None:
        file.write(written(line))
        file.flush()

    return write


def take_up(file: Path, seen: Callable[[Line], None]) -> None:
    """Leave in a file only the photos that an earlier run answered without an error, and tell each of them.

    A last line that was cut short goes too, so all else is asked again. Raises ValueError for a file of something else,
    which stays as it is.
    """
    if not file.exists():
        return
    kept = file.with_name(f"{file.name}.tmp")
    foreign = None
    with file.open("rb") as before, kept.open("wb") as after:
        for number, text in enumerate(before, 1):
            cut_short = not text.endswith(b"\n")
            if cut_short and (text.startswith(BEGINNING) or BEGINNING.startswith(text)):
                break
            line = _read(text)
            if line is None:
                foreign = number
                break
            if not line["errors"]:
                after.write(text)
                seen(line)
    if foreign is not None:
        kept.unlink()
        raise ValueError(f"{file}, line {foreign}: no answer of an earlier run; name another file to write to")
    os.replace(kept, file)


def _read(text: bytes) -> Line | None:
    try:
        line: Line = json.loads(text)
        return line if isinstance(line["path"], str) and isinstance(line["errors"], list) else None
    except (ValueError, LookupError, TypeError):
        return None
