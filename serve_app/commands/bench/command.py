"""``maskgraph bench``: clients that each post one photo after another to /analyze."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from serve_app.commands.bench.loadgen import Failed, Load, closed_loop, http_session, post
from serve_app.commands.bench.own_service import own_service
from serve_app.commands.output import print_json

SAMPLES = Path(__file__).parents[2] / "web" / "samples"
"""The page's photos."""
PERCENTILES = (50, 95, 99)


def bench(
    photos: Sequence[Path], url: str | None, clients: int, seconds: float, api_key: str | None, *, as_json: bool
) -> bool:
    """Print what ``clients`` saw of the service at ``url``, or of one that is started for this; true without errors.

    photos: the samples, if empty. Raises ValueError where no service answers, OSError for a photo that cannot be read.
    """
    bodies = [photo.read_bytes() for photo in photos or sorted(SAMPLES.iterdir())]
    headers = {} if api_key is None else {"X-API-Key": api_key}
    if url is None:
        with own_service() as started:
            load = asyncio.run(put_load(started, bodies, headers, clients, seconds))
    else:
        load = asyncio.run(put_load(url, bodies, headers, clients, seconds))
    measured = result(load, clients)
    if as_json:
        print_json(measured)
    else:
        Console().print(table(measured))
    return not load.errors


async def put_load(url: str, bodies: Sequence[bytes], headers: Mapping[str, str], clients: int, seconds: float) -> Load:
    """A closed loop on a service. Raises ValueError where it does not answer the first photo."""
    address = f"{url.rstrip('/')}/analyze"
    async with http_session(headers) as session:

        async def ask(number: int) -> None:
            if failure := failed_branch(await post(session, address, bodies[number % len(bodies)])):
                raise Failed(f"200 with {failure}")

        try:
            await ask(0)
        except Failed as error:
            raise ValueError(
                f"{url} did not answer a photo: {error}. maskgraph analyze says why; without --url a service is started"
            ) from error
        return await closed_loop(ask, clients, seconds)


def failed_branch(answer: bytes) -> str | None:
    """The error code in an answer of /analyze in which a model gave none."""
    errors: list[dict[str, Any]] = orjson.loads(answer)["images"][0]["errors"]
    return str(errors[0]["code"]) if errors else None


def result(load: Load, clients: int) -> dict[str, Any]:
    """What was measured, as JSON has it; latencies are null without any answer."""
    latencies = {
        f"p{percent}_ms": round(1000 * load.latency_s(percent), 1) if load.latencies_s else None
        for percent in PERCENTILES
    }
    return {
        "clients": clients,
        "seconds": round(load.seconds, 2),
        "answers": len(load.latencies_s),
        "answers_per_s": round(load.per_second, 2),
        **latencies,
        "errors": dict(load.errors),
    }


def table(measured: Mapping[str, Any]) -> Table:
    """The same for people."""
    made = Table("measure", "value")
    for name, value in measured.items():
        if name == "errors":
            value = ", ".join(f"{count} x {kind}" for kind, count in value.items()) or "none"
        made.add_row(name.replace("_per_s", " a second").replace("_ms", " in ms"), str(value))
    return made
