"""What benchmarks/gpu.py measures: a model's steps, a large network, the chip's limits, the graph in one process."""

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from deployments.calls import Call, Item
from deployments.engines.equip import equip
from deployments.engines.graphs import capturing
from deployments.engines.precision import Precision
from deployments.engines.settings import EngineName, EngineSettings
from deployments.imaging.decode import decode
from deployments.imaging.resize import prepare
from deployments.models.card import OPTIONS
from deployments.models.device import tensor_of
from deployments.models.model import Model
from deployments.models.solov2.config import Architecture
from deployments.models.solov2.network import Solov2

MAX_PIXELS = 50_000_000
R50 = Architecture.model_validate({})


@dataclass(frozen=True)
class Steps:
    """Milliseconds of a batch, but for ``finish_ms``: of one photo, on the CPU."""

    model: str
    batch: int
    copy_ms: float
    """The photos as they are sent, to the device and no further."""
    collate_ms: float
    network_ms: float
    """The first network; with it in ``run`` are a second one, what is selected, and the transfer back."""
    run_ms: float
    finish_ms: float


@dataclass(frozen=True)
class Speed:
    """Of SOLOv2 R50 in one engine and precision."""

    engine: EngineName
    precision: Precision
    batch: int
    picture_ms: float
    tflops: float
    """Its multiplications and additions a second, in 10^12."""


@dataclass(frozen=True)
class Limits:
    """What the chip does at its best, measured here."""

    matrix_tflops: float
    """Of bfloat16 matrices."""
    memory_gb_s: float
    """Read and written by a copy."""


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was asked."""
    torch.get_device_module(device).synchronize()


def median_ms(function: Callable[[], object], device: torch.device, rounds: int) -> float:
    """Of as many calls, after two that do not count."""
    times = []
    for _ in range(rounds + 2):
        synchronize(device)
        started = time.perf_counter()
        function()
        synchronize(device)
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times[2:])


def item_of(model: Model[Any, Any], photo: Path) -> Item:
    """A photo as it is sent to a model, with the card's thresholds."""
    pixels = decode(photo.read_bytes(), MAX_PIXELS)
    call = Call(pixels.shape[0], pixels.shape[1], OPTIONS[model.card.task](), float("inf"), "benchmark")
    return Item(prepare(pixels, model.card.image), call)


@torch.inference_mode()
def measure_steps(model: Model[Any, Any], item: Item, size: int, rounds: int) -> Steps:
    """Of a batch of so many of one item."""
    items, device = [item] * size, model.device
    network, inputs = model.examples(torch.zeros(size, 3, *model.padded_shape(item), device=device))[0]
    with capturing():
        batch = model.collate(items)
        raw = model.run(batch)[0]
        network(*inputs)
    return Steps(
        model.card.name,
        size,
        copy_ms=median_ms(lambda: [tensor_of(each.image, device) for each in items], device, rounds),
        collate_ms=median_ms(lambda: model.collate(items), device, rounds),
        network_ms=median_ms(lambda: network(*inputs), device, rounds),
        run_ms=median_ms(lambda: model.run(batch), device, rounds),
        finish_ms=median_ms(lambda: model.finish(item, raw), device, rounds),
    )


@torch.inference_mode()
def measure_r50(
    device: torch.device,
    settings: EngineSettings,
    sizes: Sequence[int],
    shape: tuple[int, int],
    rounds: int,
) -> list[Speed]:
    """SOLOv2 R50 with random weights on pictures of this height and width, in batches of these sizes.

    settings: of a CPU with the engine ``eager``, since its other one is measured elsewhere.
    """
    torch.manual_seed(0)
    network = Solov2(R50).eval().to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def images(size: int) -> torch.Tensor:
        return torch.randn(size, 3, *shape, device=device).contiguous(memory_format=torch.channels_last)

    example = [(network, (images(1),))]
    equip(example, example, device, settings, Path())
    found = []
    for size in sizes:
        batch = images(size)
        with capturing():
            network(batch)
        ms = median_ms(lambda batch=batch: network(batch), device, rounds) / size  # type: ignore[misc]
        found.append(Speed(settings.engine, settings.precision, size, ms, operations(shape) / ms / 1e9))
    return found


def operations(shape: tuple[int, int]) -> int:
    """Multiplications and additions of SOLOv2 R50 for one picture."""
    with torch.device("meta"):
        network, picture = Solov2(R50), torch.zeros(1, 3, *shape)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(picture)
    return int(counter.get_total_flops())


@torch.inference_mode()
def measure_limits(device: torch.device, side: int, megabytes: int, rounds: int) -> Limits:
    """By a product of square bfloat16 matrices of this side, and a copy of so much memory."""
    one, other = (torch.randn(side, side, device=device).bfloat16() for _ in range(2))
    product_ms = median_ms(lambda: one @ other, device, rounds)
    source = torch.zeros(megabytes * 2**20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy_ms = median_ms(lambda: target.copy_(source), device, rounds)
    return Limits(2 * side**3 / product_ms / 1e9, 2 * source.numel() / copy_ms / 1e6)


def busy_share(work: Callable[[], object]) -> float:
    """Share of the time in which a CUDA device computes or copies while ``work`` runs, from 0 to 1."""
    started = time.perf_counter()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        work()
        torch.cuda.synchronize()
        took_us = 1e6 * (time.perf_counter() - started)
    spans = (each.time_range for each in profiler.events() if each.device_type.name == "CUDA")
    return covered((span.start, span.end) for span in spans) / took_us


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """Length of the union of spans (start, end)."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
