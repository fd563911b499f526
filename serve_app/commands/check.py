"""``maskgraph check``: the strict check of files, a line a problem."""

from collections.abc import Sequence
from pathlib import Path

import typer

from serve_app.checking.check import check_file
from serve_app.checking.machine import missing_files, taken_ports
from serve_app.checking.marked_yaml import Problem, dotted
from serve_app.commands.output import print_json


def check(files: Sequence[Path], *, elsewhere: bool, ports: bool, as_json: bool) -> bool:
    """Print what is wrong with each file, with its line; False if anything is.

    elsewhere: the config is for another machine, whose files are not looked for; ports: whether they must be free here.
    """
    looks = [*([] if elsewhere else [missing_files]), *([taken_ports] if ports else [])]
    found = {file: check_file(file, looks) for file in files}
    if as_json:
        problems = [
            {"file": str(file), "line": each.line, "path": dotted(each.path), "message": each.message}
            for file in files
            for each in found[file]
        ]
        print_json(problems)
    else:
        for file in files:
            for problem in found[file]:
                typer.echo(located(file, problem))
            if not found[file]:
                typer.echo(f"{file}: ok")
    return not any(found.values())


def located(file: Path, problem: Problem) -> str:
    """One line, as compilers and editors have it."""
    return f"{file}:{problem.line}: {problem}" if problem.line else f"{file}: {problem}"
