"""``maskgraph check``: the strict check of files, a line a problem."""

from collections.abc import Sequence
from pathlib import Path

import typer

from serve_app.checking.check import check_file
from serve_app.checking.machine import missing_files, taken_ports


def check(files: Sequence[Path], *, elsewhere: bool, ports: bool) -> bool:
    """Print what is wrong with each file, with its line; False if anything is.

    elsewhere: the config is for another machine, whose files are not looked for; ports: whether they must be free here.
    """
    looks = [*([] if elsewhere else [missing_files]), *([taken_ports] if ports else [])]
    sound = True
    for file in files:
        problems = check_file(file, looks)
        sound = sound and not problems
        for problem in problems:
            typer.echo(f"{file}:{problem.line}: {problem}" if problem.line else f"{file}: {problem}")
        if not problems:
            typer.echo(f"{file}: ok")
    return sound
