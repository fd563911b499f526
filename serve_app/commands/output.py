"""Where a command's JSON goes."""

from pathlib import Path
from typing import Any

import orjson
import typer
from rich.console import Console

STDOUT = Path("-")
"""As the name of a file it means the standard output."""


def print_json(content: Any) -> None:
    """For programs, on the standard output."""
    typer.echo(orjson.dumps(content, option=orjson.OPT_INDENT_2).decode())


def write_json(file: Path | None, content: Any) -> None:
    """Into a file, to the standard output, or nowhere. Raises OSError."""
    if file == STDOUT:
        print_json(content)
    elif file is not None:
        file.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))


def console_beside(file: Path | None) -> Console:
    """For people: stderr, if the JSON takes the standard output."""
    return Console(stderr=file == STDOUT)
