"""``maskgraph check``: the strict check of files, a line a problem."""

from collections.abc import Sequence
from pathlib import Path

import typer

from serve_app.checking.check import check_file


def check(files: Sequence[Path]) -> bool:
    """Print what is wrong with each file, with its line; False if anything is."""
    sound = True
    for file in files:
        problems = check_file(file)
        sound = sound and not problems
        for problem in problems:
            typer.echo(f"{file}:{problem.line}: {problem}" if problem.line else f"{file}: {problem}")
        if not problems:
            typer.echo(f"{file}: ok")
    return sound
