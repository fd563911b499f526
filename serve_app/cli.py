"""The ``maskgraph`` command. Each command imports what it needs when it runs, so that ``--help`` is quick."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def maskgraph() -> None:
    """Face masks and instance segmentation of photos, on Ray Serve."""


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Serve configs or RayService resources.")],
) -> None:
    """Name every misspelt, unknown or wrongly typed key of Serve configs, which Ray itself mostly ignores."""
    from serve_app.check import check_file

    failed = False
    for file in files:
        problems = check_file(file)
        failed = failed or bool(problems)
        for problem in problems:
            typer.echo(f"{file}:{problem.line}: {problem}" if problem.line else f"{file}: {problem}")
        if not problems:
            typer.echo(f"{file}: ok")
    if failed:
        raise typer.Exit(1)


def main() -> None:
    """Entry point of the ``maskgraph`` script."""
    app()
