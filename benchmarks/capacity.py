"""How much hardware so many photos a second need: ``python -m benchmarks.capacity`` writes docs/capacity.md.

Operational laws, no simulation: a part that works D seconds a photo is busy for X * D at X photos a second, so the
first part that is busy all the time bounds X (Denning and Buzen, 1978), and parts are bought for ``BUSY`` of that.
``--measure`` starts the service with one and with two replicas of each model, measures its times here, and says how far
the bound is from what was served.
"""

import asyncio
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic import BaseModel, ConfigDict
from rich.console import Console

from benchmarks import photos
from benchmarks.contenders import CORES, ROOT
from benchmarks.cost import REST, Body, cost, idle_cores, served
from benchmarks.lineup import service
from deployments.models.card import EMBEDDED, read_card
from serve_app.commands.bench.loadgen import post

TIMES = Path(__file__).with_name("service_times.yaml")
PAGE = ROOT / "docs" / "capacity.md"
BUSY = 0.7
"""Share of the time for which a part is to be busy: above, the queue in front of it grows fast."""
RATES = (100, 1000, 10_000)
REPLICAS = (1, 2)
LOW_CLIENTS, BUSY_CLIENTS = 2, 16
WARM_S = 2.0
MODELS = {"MaskDetection": "face_mask", "InstanceSegmentation": "solov2_people"}


class Times(BaseModel):
    """Measured on one machine with CPUs only."""

    model_config = ConfigDict(extra="forbid")

    cores: int
    photo_bytes: int
    answer_bytes: int
    cpu_ms: dict[str, float]
    """A photo, by role, at two clients."""
    idle_cores: float
    """Used by all processes while nobody asks."""
    measured: dict[int, float]
    """Answers a second at 16 clients, by replicas of each model."""


class GpuTimes(BaseModel):
    """Measured on one GPU, in a process of its own."""

    model_config = ConfigDict(extra="forbid")

    name: str
    source: str
    gpu_ms: dict[str, float]
    cpu_ms: dict[str, float]


def bound(times: Times, replicas: int, threads: int) -> tuple[float, str]:
    """Photos a second that one machine without a GPU can answer, and the part that bounds it.

    A replica works on ``threads`` cores at most; all processes share the machine's.
    """
    parts = {"the machine's cores": 1000 * (times.cores - times.idle_cores) / sum(times.cpu_ms.values())}
    parts |= {role: 1000 * replicas * threads / times.cpu_ms[role] for role in MODELS}
    part = min(parts, key=lambda each: parts[each])
    return parts[part], part


def prepared_bytes(model: str) -> int:
    """Bytes of the pixels that go to a replica, for a photo of the size that was measured."""
    width, height = photos.ONE_SIZE
    size = read_card(EMBEDDED / f"{MODELS[model]}.yaml").image.resized_size(height, width)
    return 3 * size[0] * size[1]


def fleet(times: Times, gpu: GpuTimes, rate: int) -> dict[str, str]:
    """What ``rate`` photos a second need, by what it is."""

    def needed(milliseconds: float) -> int:
        return math.ceil(rate * milliseconds / 1000 / BUSY)

    inside = sum(prepared_bytes(model) for model in MODELS)
    return {
        "GPUs": str(needed(sum(gpu.gpu_ms.values()))),
        "cores beside the GPUs": str(needed(sum(gpu.cpu_ms.values()))),
        "cores of the ingress": str(needed(times.cpu_ms["Ingress"])),
        "cores of the proxy": str(needed(times.cpu_ms.get("proxy", 0.0))),
        "photos in, Gbit/s": f"{rate * times.photo_bytes * 8e-9:.2f}",
        "pixels from ingress to replicas, Gbit/s": f"{rate * inside * 8e-9:.1f}",
        "answers out, Gbit/s": f"{rate * times.answer_bytes * 8e-9:.2f}",
    }


async def measure(port: int, seconds: float, folder: Path) -> dict[str, Any]:
    """The service's times here."""
    photo = Body(photos.photo(*photos.ONE_SIZE))
    found: dict[str, Any] = {"cores": CORES, "photo_bytes": len(photo.data), "measured": {}}
    for replicas in REPLICAS:
        async with served(service(f"replicas-{replicas}", port, "float32", folder, replicas)) as server:
            await cost(server, [photo], BUSY_CLIENTS, WARM_S)
            if replicas == 1:
                assert server.session
                found["answer_bytes"] = len(await post(server.session, f"{server.url}/analyze", photo.data))
                found["idle_cores"] = round(await idle_cores(server, seconds), 3)
                low = await cost(server, [photo], LOW_CLIENTS, seconds)
                # What Ray's own processes use while nobody asks is not a photo's.
                rest = max(0.0, low.cpu_ms[REST] - 1000 * found["idle_cores"] / low.per_second)
                found["cpu_ms"] = {role: round(used, 1) for role, used in {**low.cpu_ms, REST: rest}.items()}
            busy = await cost(server, [photo], BUSY_CLIENTS, seconds)
            found["measured"][replicas] = round(busy.per_second, 2)
    return found


def page(times: Times, gpu: GpuTimes, threads: int) -> str:
    """docs/capacity.md."""
    width, height = photos.ONE_SIZE
    needs = {rate: fleet(times, gpu, rate) for rate in RATES}
    checks = []
    for replicas, answered in sorted(times.measured.items()):
        predicted, part = bound(times, replicas, threads)
        off = f"{100 * (answered / predicted - 1):+.0f} %"
        checks.append(f"| {replicas} | {predicted:.1f} | {part} | {answered:.1f} | {off} |")
    roles = ", ".join(f"{role} {used:.1f}" for role, used in sorted(times.cpu_ms.items(), key=lambda item: -item[1]))
    return f"""# Capacity

Written by `python -m benchmarks.capacity` from `benchmarks/service_times.yaml`; not by hand. For photos of
{width}x{height} pixels ({times.photo_bytes / 1000:.0f} kB) and both embedded models.

A part that works D seconds for a photo is busy for X * D of each second at X photos a second. So many are counted here
that each is busy for {100 * BUSY:.0f} % of the time: that leaves room for arrivals that come in bursts.

| photos a second | {" | ".join(f"{rate:,}" for rate in RATES)} |
|---|{"---|" * len(RATES)}
{chr(10).join(f"| {what} | {' | '.join(needs[rate][what] for rate in RATES)} |" for what in needs[RATES[0]])}

GPUs: {gpu.name} ({gpu.source}): {described(gpu.gpu_ms)} ms of the GPU a photo, and
{described(gpu.cpu_ms)} ms of a core beside it. Both models share each GPU. The ingress decodes and resizes on the CPU:
larger photos want more of it (`python -m benchmarks.growth` draws the curve). Whether pixels cross a network depends on
where the ingress replicas run; on the machine of the GPU they do not.

## The same rule, checked here

A machine with {times.cores} cores and no GPU, `serve_config.yaml`, 16 clients. CPU a photo in ms, at two clients:
{roles};
together {sum(times.cpu_ms.values()):.0f}. All processes use {times.idle_cores:.2f} cores while nobody asks. The busiest
part bounds the answers a second. Less is served where a photo costs more CPU at 16 clients than at two
(docs/performance.md), and where a part waits for another.

| replicas of each model | bound, answers/s | by | served | off by |
|---|---|---|---|---|
{chr(10).join(checks)}
"""


def described(milliseconds: Mapping[str, float]) -> str:
    """Such as ``MaskDetection 3.4, InstanceSegmentation 1.7``."""
    return ", ".join(f"{name} {value:g}" for name, value in milliseconds.items())


def main(
    again: Annotated[bool, typer.Option("--measure", help="Measure this machine's times first.")] = False,
    seconds: Annotated[float, typer.Option(help="Of each measurement.")] = 20,
    port: Annotated[int, typer.Option(help="The first that may be used.")] = 8300,
) -> None:
    data = yaml.safe_load(TIMES.read_text(encoding="utf-8"))
    if again:
        with tempfile.TemporaryDirectory() as folder:
            data["here"] = asyncio.run(measure(port, seconds, Path(folder)))
        head = "".join(line for line in TIMES.read_text(encoding="utf-8").splitlines(True) if line.startswith("#"))
        TIMES.write_text(head + yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    times = Times.model_validate(data["here"])
    PAGE.write_text(page(times, GpuTimes.model_validate(data["gpu"]), times.cores), encoding="utf-8")
    Console().print(PAGE.read_text(encoding="utf-8"), markup=False)


if __name__ == "__main__":
    typer.run(main)
