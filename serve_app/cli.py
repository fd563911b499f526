"""The ``maskgraph`` command. Each command imports what it needs when it runs, so that ``--help`` is quick."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from serve_app.client import Options

app = typer.Typer(no_args_is_help=True)

# What analyze and predict share.
Paths = Annotated[
    list[Path], typer.Argument(metavar="PATH...", help="Photos, folders of them, or patterns, ** for any folders.")
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", dir_okay=False, help="File of JSON lines, one a photo; a run that was cut off goes on."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="JSON lines on standard output instead of the table.")]
Draw = Annotated[Path | None, typer.Option(file_okay=False, help="Folder for the drawn pictures.")]
Csv = Annotated[Path | None, typer.Option(dir_okay=False, help="File for a summary, a row a photo.")]
FaceThreshold = Annotated[float | None, typer.Option(min=0, max=1, help="Least score of a face.")]
ScoreThreshold = Annotated[float | None, typer.Option(min=0, max=1, help="Least score of an instance.")]
Classes = Annotated[list[str] | None, typer.Option(help="A label of instances to keep; may be repeated.")]
Masks = Annotated[bool, typer.Option(help="Without them the lines are short.")]
# What predict and batch share: the models, each on the option of its task.
Card = Annotated[str, typer.Option(help="An embedded model's name, or a model card.")]
ObjectCard = Annotated[str | None, typer.Option(help="Likewise; without it no objects are looked for.")]


@contextmanager
def told() -> Iterator[None]:
    """What a command cannot do with its arguments is one line, not a traceback."""
    try:
        yield
    except (ValueError, OSError) as error:
        message = str(error)
        if isinstance(error, OSError) and error.filename and error.strerror:
            message = f"{error.filename}: {error.strerror.lower()}"
        typer.echo(f"maskgraph: {' '.join(message.split())}", err=True)
        raise typer.Exit(2) from error


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"maskgraph {version('maskgraph')}")
        raise typer.Exit


@app.callback()
def maskgraph(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Face masks and instance segmentation of photos, on Ray Serve."""


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Serve configs or RayService resources.")],
    elsewhere: Annotated[bool, typer.Option(help="For another machine: its cards and keys need not be here.")] = False,
    ports: Annotated[bool, typer.Option(help="The ports must be free, as before a start.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON: a list of problems.")] = False,
) -> None:
    """Name every misspelt, unknown or wrongly typed key of Serve configs, which Ray itself mostly ignores.

    Then what they need and this machine has not: model cards, weights, API keys.
    """
    from serve_app.commands.check import check as run

    if not run(files, elsewhere=elsewhere, ports=ports, as_json=json):
        raise typer.Exit(1)


@app.command()
def serve(
    config: Annotated[
        Path | None,
        typer.Argument(
            exists=True, dir_okay=False, help="A Serve config; without one, embedded models on this machine."
        ),
    ] = None,
    load: Annotated[
        bool, typer.Option(help="For many requests a second: HAProxy and Serve's throughput flags (configs/load.env).")
    ] = False,
    verbose: Annotated[bool, typer.Option(help="Show all that Ray and the replicas log.")] = False,
) -> None:
    """Check a config, serve it on this machine until Ctrl-C, and say where to click.

    With RAY_ADDRESS in the environment it is served on that cluster.
    """
    from serve_app.commands.serving.environment import CONFIG, set_for_serving

    set_for_serving(os.environ, load=load)
    from serve_app.commands.serving.command import serve as run

    with told():
        if not run(config or CONFIG, verbose=verbose):
            raise typer.Exit(1)


@app.command()
def bench(
    photos: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PHOTO]...", exists=True, dir_okay=False, help="By default the page's three samples."),
    ] = None,
    url: Annotated[str | None, typer.Option(help="A service that runs; without it one is started here.")] = None,
    clients: Annotated[int, typer.Option(min=1, help="That each send one photo after another.")] = 16,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of load, once all clients have had an answer.")] = 10,
    api_key: Annotated[str | None, typer.Option(envvar="MASKGRAPH_API_KEY", help="Where the service asks.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Put load on a service: answers a second, latencies, errors by kind. The exit status is 1 if there were errors.

    The load is made by this process; on the service's own machine it takes a part of its cores.
    """
    from serve_app.commands.bench.command import bench as run

    with told():
        if not run(photos or [], url, clients, seconds, api_key, as_json=json):
            raise typer.Exit(1)


@app.command()
def doctor(
    config: Annotated[Path | None, typer.Argument(help="What is to be served; by default what serve serves.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    clean_cache: Annotated[bool, typer.Option(help="First remove networks that other versions converted.")] = False,
) -> None:
    """Say what this machine has of what the service needs, and how to mend what is wrong: then the exit status is 1."""
    from serve_app.commands.doctor.command import doctor as run
    from serve_app.commands.serving.environment import CONFIG

    with told():
        if not run(config or CONFIG, as_json=json, clean_cache=clean_cache):
            raise typer.Exit(1)


@app.command()
def key(name: Annotated[str, typer.Argument(help="Whose it is; letters, digits, dots, dashes.")]) -> None:
    """Make an API key: print it once, and the entry for the file that api_keys_file names."""
    from serve_app.commands.key import make_key

    with told():
        make_key(name)


@app.command()
def analyze(
    paths: Paths,
    url: Annotated[str, typer.Option(envvar="MASKGRAPH_URL", help="The service.")] = "http://127.0.0.1:8000",
    api_key: Annotated[str | None, typer.Option(envvar="MASKGRAPH_API_KEY", help="Where the service asks.")] = None,
    output: Output = None,
    json: Json = False,
    draw: Draw = None,
    csv: Csv = None,
    face_threshold: FaceThreshold = None,
    score_threshold: ScoreThreshold = None,
    classes: Classes = None,
    masks: Masks = True,
    concurrency: Annotated[int, typer.Option(min=1, max=100, help="Photos asked about at a time.")] = 4,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds a photo, waits for a busy service included.")] = 300,
) -> None:
    """Ask a running service about photos: files, folders, patterns.

    The exit status is 1 where a photo failed, 2 where the run could not go on.
    """
    from serve_app.commands.analyze import analyze as run
    from serve_app.commands.photos.run import Outputs

    with told():
        complete = run(
            paths,
            Outputs(output, json, draw, csv),
            _options(face_threshold, score_threshold, classes, masks, draw),
            url=url,
            api_key=api_key,
            concurrency=concurrency,
            timeout_s=timeout,
        )
    if not complete:
        raise typer.Exit(1)


@app.command()
def predict(
    paths: Paths,
    output: Output = None,
    json: Json = False,
    draw: Draw = None,
    csv: Csv = None,
    face_threshold: FaceThreshold = None,
    score_threshold: ScoreThreshold = None,
    classes: Classes = None,
    masks: Masks = True,
    mask_detection: Card = "face_mask",
    instance_segmentation: Card = "solov2_people",
    object_detection: ObjectCard = None,
) -> None:
    """Analyse photos as analyze does, with the served pipeline and models in this process, without Ray."""
    from serve_app.commands.photos.run import Outputs
    from serve_app.commands.predict import predict as run
    from serve_app.settings import Settings

    settings = Settings(
        mask_detection=mask_detection, instance_segmentation=instance_segmentation, object_detection=object_detection
    )
    with told():
        complete = run(
            paths,
            Outputs(output, json, draw, csv),
            _options(face_threshold, score_threshold, classes, masks, draw),
            settings,
        )
    if not complete:
        raise typer.Exit(1)


def _options(
    face_threshold: float | None,
    score_threshold: float | None,
    classes: list[str] | None,
    masks: bool,
    draw: Path | None,
) -> "Options":
    options: Options = {"masks": masks, "annotate": draw is not None}
    if face_threshold is not None:
        options["face_threshold"] = face_threshold
    if score_threshold is not None:
        options["score_threshold"] = score_threshold
    if classes:
        options["classes"] = classes
    return options


@app.command()
def batch(
    source: Annotated[
        str,
        typer.Argument(metavar="INPUT", help="A folder, tar, Parquet file or picture: a path, s3://, gs://."),
    ],
    target: Annotated[str, typer.Argument(metavar="OUTPUT", help="A folder for Parquet files; a run goes on in it.")],
    mask_detection: Card = "face_mask",
    instance_segmentation: Card = "solov2_people",
    object_detection: ObjectCard = None,
    precision: Annotated[Literal["float32", "bfloat16", "float16"], typer.Option(help="Of the networks.")] = "float32",
    coco: Annotated[str | None, typer.Option(help="File for the answers of all runs as COCO JSON.")] = None,
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster; without it, this machine.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes with models; by default one a core.")] = None,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs of each worker, also a fraction.")] = 0.0,
    rows_a_part: Annotated[int, typer.Option(min=1, help="Rows a Parquet file: what a killed run loses.")] = 256,
) -> None:
    """Analyse many pictures into Parquet on Ray Data, with the served pipeline and models; go on where a run ended."""
    from serve_app.commands.serving.environment import set_for_serving

    set_for_serving(os.environ, load=False)
    from serve_app.commands.batch.command import batch as run
    from serve_app.settings import Settings

    with told():
        settings = Settings(
            mask_detection=mask_detection,
            instance_segmentation=instance_segmentation,
            object_detection=object_detection,
            precision=precision,
            device="cuda" if gpus else "cpu",
        )
        complete = run(
            source,
            target,
            settings,
            address=address,
            workers=workers,
            gpus=gpus,
            rows_a_part=rows_a_part,
            coco=coco,
        )
    if not complete:
        raise typer.Exit(1)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(exists=True)],
    target: Path,
    name: Annotated[str, typer.Option()],
    licence: Annotated[str, typer.Option()],
) -> None:
    """Write a SOLOv2 checkpoint of mmdetection, SOLO or PaddleDetection as safetensors with a model card."""
    from serve_app.commands.convert import convert as run

    with told():
        run(source, target, name, licence)


@app.command()
def compare_preprocessing(
    photo: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    card: Annotated[str, typer.Option(help="An embedded model's name, or a model card.")] = "solov2_people",
    against: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="A .npy tensor or picture of this photo: find which recipe made it."
        ),
    ] = None,
    draw: Annotated[Path | None, typer.Option(help="File for the differences side by side, .png or .jpg.")] = None,
    json: Annotated[Path | None, typer.Option(help="File for the numbers; - prints them.")] = None,
) -> None:
    """Show what the usual ways to load, resize and normalise a photo change in a model's input and answer.

    With --against the exit status is 1 unless the card's own rule made the tensor.
    """
    if against and draw:
        raise typer.BadParameter("--draw shows the usual ways, --against looks at one tensor; give one of them")
    from serve_app.commands.preprocessing.command import compare_against, compare_preprocessing

    with told():
        if against is None:
            compare_preprocessing(photo, card, draw, json)
        elif not compare_against(photo, card, against, json):
            raise typer.Exit(1)


def main() -> None:
    """Entry point of the ``maskgraph`` script."""
    try:
        app()
    except ModuleNotFoundError as error:
        # The base install has the client and this file; what most commands import comes with the extra.
        extra = "batch" if error.name in ("pyarrow", "pandas") else "service"
        sys.exit(f"this command needs {error.name}, which is not installed: pip install 'maskgraph[{extra}]'")
