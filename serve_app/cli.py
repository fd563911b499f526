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


@app.command()
def predict(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO...", exists=True, dir_okay=False)],
    json: Annotated[Path | None, typer.Option(help="File for the answers, as POST /analyze gives them.")] = None,
    draw: Annotated[Path | None, typer.Option(help="Folder for the drawn pictures.")] = None,
    mask_detection: Annotated[str, typer.Option(help="An embedded model's name, or a model card.")] = "face_mask",
    instance_segmentation: Annotated[str, typer.Option(help="Likewise.")] = "solov2_people",
) -> None:
    """Analyse photos with the served pipeline and models in this process, without Ray."""
    from serve_app.predict import predict as run
    from serve_app.settings import Settings

    settings = Settings(mask_detection=mask_detection, instance_segmentation=instance_segmentation)
    if not run(photos, json, draw, settings):
        raise typer.Exit(1)


@app.command()
def convert(
    source: Path, target: Path, name: Annotated[str, typer.Option()], licence: Annotated[str, typer.Option()]
) -> None:
    """Write a SOLOv2 checkpoint of mmdetection, SOLO or PaddleDetection as safetensors with a model card."""
    from deployments.models.convert import convert as run

    try:
        typer.echo(f"{target.with_suffix('.yaml')}: {run(source, target, name, licence).description}")
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from error


def main() -> None:
    """Entry point of the ``maskgraph`` script."""
    app()
