"""How the service's cost grows: ``python -m benchmarks.growth``, on a service of its own.

Six curves: against clients, images a request, pixels, faces, instances and replicas. Cost is CPU of all processes; none
of the curves may rise faster than in proportion. Prints a table; writes JSON and a picture. Linux only.
"""

import asyncio
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import httpx
import matplotlib
import orjson
import typer
from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from benchmarks import photos
from benchmarks.contenders import HttpServer
from benchmarks.cost import Body, Cost, cost, served
from benchmarks.lineup import service
from serve_app.commands.bench.loadgen import post

matplotlib.use("Agg")

from matplotlib import pyplot

CLIENTS = (1, 2, 4, 8, 16, 32, 64)
IMAGES = (1, 2, 4, 8, 16, 32)
MEGAPIXELS = (0.1, 0.4, 1.6, 6, 12, 24, 48)
PEOPLE = (0, 1, 2, 6, 15, 40, 96)
REPLICAS = (1, 2)
BUSY_CLIENTS = 16
WARM_S = 1.0
LOW_THRESHOLDS = (0.9, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02)
"""Of instances: how many one photo has depends on it."""


@dataclass(frozen=True)
class Point:
    """One measurement of a curve."""

    x: float
    cpu_ms: float
    """Of all processes, for a request; on the curve of clients, for one request of each."""
    p50_ms: float
    per_second: float
    failures: int


@dataclass(frozen=True)
class Curve:
    """Cost against what makes it large."""

    name: str
    points: Sequence[Point]
    """By x; the first may be 0."""

    @property
    def over_line(self) -> float:
        """The last point's cost over that of a line through the first and the middle one.

        1 where cost grows in proportion, less where it grows more slowly. A line that falls counts as flat.
        """
        first, middle, last = self.points[0], self.points[(len(self.points) - 1) // 2], self.points[-1]
        slope = (middle.cpu_ms - first.cpu_ms) / (middle.x - first.x) if middle.x > first.x else 0.0
        return last.cpu_ms / (first.cpu_ms + max(0.0, slope) * (last.x - first.x))


RESULT = TypeAdapter(list[Curve])
"""Kept as JSON by the standard library: a point without any answer has a latency that is NaN."""


def point(x: float, seen: Cost, times: float = 1) -> Point:
    """A measured cost, ``times`` over."""
    return Point(x, times * seen.total_cpu_ms, seen.p50_ms, seen.per_second, sum(seen.failures.values()))


def several(photo: bytes, images: int) -> Body:
    """One multipart request with so many images."""
    files = [("image", (f"{number}.jpg", photo, "image/jpeg")) for number in range(images)]
    request = httpx.Request("POST", "http://127.0.0.1/", files=files)
    return Body(request.read(), request.headers["Content-Type"])


def of_megapixels(megapixels: float) -> Body:
    """A photo of that size, three by two."""
    return Body(photos.photo(round((megapixels * 1.5e6) ** 0.5), round((megapixels / 1.5e-6) ** 0.5)))


async def found(server: HttpServer, body: Body, what: str) -> int:
    """How many faces, or instances, the answer has."""
    assert server.session
    answer = await post(server.session, f"{server.url}/analyze{body.query}", body.data, body.content_type)
    return len(orjson.loads(answer)["images"][0][what])


async def each_of(server: HttpServer, bodies: Mapping[float, Body], seconds: float) -> list[Point]:
    """One client's costs for requests of several sizes."""
    for body in bodies.values():
        await found(server, body, "faces")  # the first of a shape is slower
    return [point(x, await cost(server, [bodies[x]], 1, seconds)) for x in sorted(bodies)]


async def clients(server: HttpServer, seconds: float) -> list[Point]:
    """Against clients at once."""
    photo = [Body(photos.photo(*photos.ONE_SIZE))]
    return [point(number, await cost(server, photo, number, seconds), times=number) for number in CLIENTS]


async def images(server: HttpServer, seconds: float) -> list[Point]:
    """Against images a request."""
    photo = photos.photo(640, 480)
    return await each_of(server, {number: several(photo, number) for number in IMAGES}, seconds)


async def megapixels(server: HttpServer, seconds: float) -> list[Point]:
    """Against a photo's size."""
    return await each_of(server, {size: of_megapixels(size) for size in MEGAPIXELS}, seconds)


async def faces(server: HttpServer, seconds: float) -> list[Point]:
    """Against faces found in photos of one size."""
    crowds = [Body(photos.crowd(people)) for people in PEOPLE]
    return await each_of(server, {await found(server, body, "faces"): body for body in crowds}, seconds)


async def instances(server: HttpServer, seconds: float) -> list[Point]:
    """Against instances found in one photo, by the threshold."""
    crowd = photos.crowd(PEOPLE[-1])
    bodies = [Body(crowd, query=f"?instance_segmentation.score_threshold={least}") for least in LOW_THRESHOLDS]
    return await each_of(server, {await found(server, body, "instances"): body for body in bodies}, seconds)


CURVES = {"clients": clients, "images": images, "megapixels": megapixels, "faces": faces, "instances": instances}
"""What one running service shows."""
REPLICAS_CURVE = "replicas"


async def run(chosen: Sequence[str], port: int, seconds: float, folder: Path) -> list[Curve]:
    """Start the service as it is, then with other numbers of replicas, and measure."""
    result = []
    if measured := [name for name in chosen if name in CURVES]:
        async with served(service("service", port, "float32", folder)) as server:
            result = [Curve(name, await CURVES[name](server, seconds)) for name in measured]
    if REPLICAS_CURVE in chosen:
        photo, points = [Body(photos.photo(*photos.ONE_SIZE))], []
        for number in REPLICAS:
            async with served(service(f"replicas-{number}", port, "float32", folder, number)) as server:
                await cost(server, photo, BUSY_CLIENTS, WARM_S)
                points.append(point(number, await cost(server, photo, BUSY_CLIENTS, seconds)))
        result.append(Curve(REPLICAS_CURVE, points))
    return result


def table(results: Sequence[Curve]) -> Table:
    """A row a point."""
    rows = Table("curve", "x", "CPU ms", "median ms", "answers/s", "failures", "last / line")
    for curve in results:
        for each in curve.points:
            over = f"{curve.over_line:.2f}" if each is curve.points[-1] else ""
            figures = (f"{each.cpu_ms:.0f}", f"{each.p50_ms:.0f}", f"{each.per_second:.2f}", str(each.failures))
            rows.add_row(curve.name, f"{each.x:g}", *figures, over)
        rows.add_section()
    return rows


def draw(results: Sequence[Curve], file: Path) -> None:
    """One panel a curve, with the line that it must not rise above."""
    figure, axes = pyplot.subplots(2, 3, figsize=(13, 7), layout="constrained")
    for panel, curve in zip(axes.flat, results, strict=False):
        panel.plot([each.x for each in curve.points], [each.cpu_ms for each in curve.points], marker="o")
        first, last = curve.points[0], curve.points[-1]
        panel.plot([first.x, last.x], [first.cpu_ms, last.cpu_ms / curve.over_line], linestyle=":", color="grey")
        panel.set(xlabel=curve.name, ylim=(0, None), title=f"CPU ms; the end is {curve.over_line:.2f} of the line")
    figure.savefig(file, dpi=80)
    pyplot.close(figure)


def main(
    curves: Annotated[str, typer.Option(help="Comma-separated; the others stay as the folder has them.")] = ",".join(
        (*CURVES, REPLICAS_CURVE)
    ),
    seconds: Annotated[float, typer.Option(help="Of each measurement.")] = 5,
    port: Annotated[int, typer.Option(help="The first that may be used.")] = 8300,
    output: Annotated[Path, typer.Option(help="Folder for growth.json and growth.png.")] = Path("runs/growth"),
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        measured = asyncio.run(run(curves.split(","), port, seconds, Path(folder)))
    output.mkdir(parents=True, exist_ok=True)
    file = output / "growth.json"
    earlier = RESULT.validate_python(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else []
    by_name = {curve.name: curve for curve in [*earlier, *measured]}
    results = [by_name[name] for name in (*CURVES, REPLICAS_CURVE) if name in by_name]
    Console().print(table(results))
    draw(results, output / "growth.png")
    file.write_text(json.dumps([asdict(curve) for curve in results], indent=1), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
