"""Each step on one GPU, and how near the whole comes to what the chip can do: ``python -m benchmarks.gpu``.

Needs neither Ray nor a network, and at most five minutes: the tests that need CUDA, the steps of both embedded models,
SOLOv2 R50, the chip's own limits, and photos through the graph in one process. ``--device cpu --quick`` runs the same
steps, small, so that they can be tried where there is no GPU; their figures mean nothing.
"""

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.gpu_steps import (
    Limits,
    Speed,
    Steps,
    busy_share,
    item_of,
    measure_limits,
    measure_r50,
    measure_steps,
)
from deployments.engines.cores import usable_cores
from deployments.engines.settings import EngineSettings
from deployments.models.card import Task
from deployments.models.load import load
from serve_app.analysis import AnalyzeRequest, EncodedImage
from serve_app.commands.bench.loadgen import Load, closed_loop
from serve_app.local import LocalBranch, build_local
from serve_app.pipeline import Pipeline
from serve_app.settings import Settings

Device = Literal["cpu", "cuda"]
Part = TypeVar("Part")
ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "serve_app/web/samples/together.jpg"
MODELS: dict[Task, str] = {"mask_detection": "face_mask", "instance_segmentation": "solov2_people"}
BATCH = {"max_batch_images": 32, "max_batch_pixels": 32 * 1024 * 1024}
"""As configs/gpu.yaml has it."""


@dataclass(frozen=True)
class Extent:
    """How much is measured."""

    sizes: tuple[int, ...] = (1, 8, 32)
    """Photos of a batch."""
    r50_sizes: tuple[int, ...] = (1, 8)
    r50_shape: tuple[int, int] = (800, 1344)
    matrix_side: int = 8192
    copied_megabytes: int = 2048
    rounds: int = 20
    clients: int = 64
    seconds: float = 10.0
    threads: int | None = None


QUICK = Extent((1, 2), (1,), (64, 96), 64, 1, 1, 2, 0.0, 1)


@dataclass(frozen=True)
class Measured:
    """All that is written as JSON."""

    device: str
    torch: str
    tests: str
    steps: list[Steps]
    r50: list[Speed]
    limits: Limits
    photos_per_second: float
    photo_p50_ms: float
    busy: float | None
    """Share of the time in which the device did something; None on a CPU."""


def cuda_tests() -> str:
    """Run the tests that need CUDA; pytest's last line. Only their modules: others need Ray."""
    modules = [str(path) for path in (ROOT / "tests/deployments").rglob("test_*.py") if "cuda" in path.read_text()]
    command = [sys.executable, "-m", "pytest", "-q", "-k", "cuda", *modules]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    sys.stderr.write(done.stdout)
    return next(reversed((done.stdout or done.stderr).strip().splitlines()), f"pytest ended with {done.returncode}")


def graph(device: Device, settings: EngineSettings) -> Pipeline:
    """The served graph in this process, warm as a replica is."""
    engine = {"precision": settings.precision, "engine": settings.engine, "threads": settings.threads}
    pipeline = build_local(Settings.model_validate({"device": device} | engine))
    for branch in pipeline.branches.values():
        assert isinstance(branch, LocalBranch)
        branch.replica.reconfigure(BATCH)
        if device == "cuda":
            branch.replica.measure_batches()
            branch.replica.warm_up()
    return pipeline


def photos_through(pipeline: Pipeline, clients: int, seconds: float) -> Load:
    """The photo again and again, from so many clients at a time."""
    data, numbers = PHOTO.read_bytes(), count()

    async def send(_: int) -> None:
        analysis = await pipeline.analyze(AnalyzeRequest([EncodedImage(data)], f"photo {next(numbers)}"))
        assert not analysis.images[0].errors, analysis.images[0].errors

    return asyncio.run(closed_loop(send, clients, seconds))


def shown(part: Part) -> Part:
    """The same, printed: a run that is cut short has shown what it had."""
    print(f"{time.strftime('%X')} {str(part)[:500]}", file=sys.stderr, flush=True)
    return part


def measure(device: Device, extent: Extent) -> Measured:
    """Everything, in the order of the table."""
    on_cuda, chosen = device == "cuda", torch.device(device)
    threads = extent.threads or usable_cores()
    exact = EngineSettings("float32", threads, "eager")
    served = EngineSettings("bfloat16", threads, "auto") if on_cuda else exact
    limits = shown(measure_limits(chosen, extent.matrix_side, extent.copied_megabytes, extent.rounds))
    steps, speeds = [], []
    for task, name in MODELS.items():
        model = load(name, task, device, threads, served.precision, served.engine)
        item = item_of(model, PHOTO)
        steps += [shown(measure_steps(model, item, size, extent.rounds)) for size in extent.sizes]
    for settings in (exact, replace(served, engine="eager"), served) if on_cuda else (exact,):
        speeds += shown(measure_r50(chosen, settings, extent.r50_sizes, extent.r50_shape, extent.rounds))
    tests = shown(cuda_tests() if on_cuda else "none on a CPU")
    pipeline = graph(device, served)
    seen = shown(photos_through(pipeline, extent.clients, extent.seconds))
    return Measured(
        torch.cuda.get_device_name() if on_cuda else "CPU",
        torch.__version__,
        tests,
        steps,
        speeds,
        limits,
        seen.per_second,
        1000 * seen.latency_s(50),
        busy_share(lambda: photos_through(pipeline, extent.clients, 1.0)) if on_cuda else None,
    )


def table(measured: Measured) -> Table:
    """Milliseconds a photo of each step, then one line for everything else."""
    made = Table("what", "batch", "copy", "collate", "network", "other run", "finish", title=measured.device)
    for each in measured.steps:
        batch = (each.copy_ms, each.collate_ms, each.network_ms, each.run_ms - each.network_ms)
        photo = (*(value / each.batch for value in batch), each.finish_ms)
        made.add_row(f"{each.model}, ms a photo", str(each.batch), *(f"{value:.2f}" for value in photo))
    made.add_section()
    for speed in measured.r50:
        share = speed.tflops / measured.limits.matrix_tflops
        name = f"SOLOv2 R50, {speed.engine} {speed.precision}, ms a photo"
        note = f"{speed.tflops:.1f} TFLOP/s, {share:.0%} of the limit"
        made.add_row(name, str(speed.batch), "", "", f"{speed.picture_ms:.2f}", note)
    made.add_section()
    busy = "" if measured.busy is None else f", device busy {measured.busy:.0%}"
    limits = f"{measured.limits.matrix_tflops:.1f} TFLOP/s, {measured.limits.memory_gb_s:.0f} GB/s"
    made.add_row("limits: bfloat16 product, copy", "", limits)
    made.add_row("the graph", "", f"{measured.photos_per_second:.1f}/s, {measured.photo_p50_ms:.0f} ms{busy}")
    made.add_row("tests", "", measured.tests)
    return made


def main(
    device: Annotated[Device, typer.Option(help="cpu only tries the steps.")] = "cuda",
    quick: Annotated[bool, typer.Option(help="Small, for trying the steps.")] = False,
) -> None:
    """Measure, print a table, then JSON."""
    if device == "cuda" and not torch.cuda.is_available():
        print("There is no CUDA device here; --device cpu --quick tries the steps without one.", file=sys.stderr)
        raise SystemExit(2)
    measured = measure(device, QUICK if quick else Extent())
    Console(width=160).print(table(measured))
    print(json.dumps(asdict(measured)))


if __name__ == "__main__":
    typer.run(main)
