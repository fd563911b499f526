"""Drain-when-free batching against ``ray.serve.batch``: answers per second and latency under Poisson arrivals.

``python -m benchmarks.batching`` drives both in this process over a fake model that takes 50 ms a batch and 1 ms an
item, with up to 32 items a batch; no GPU and no Ray cluster. Compare the ratios: milliseconds vary with the machine.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer
from ray import serve
from ray.serve._private.common import DeploymentID, ReplicaID
from ray.serve._private.config import DeploymentConfig
from ray.serve.context import _set_internal_replica_context
from ray.serve.schema import ReplicaRank
from rich.console import Console
from rich.table import Table

from deployments.batching.batcher import Batcher
from deployments.batching.budget import BatchBudget
from serve_app.commands.bench.loadgen import Load, open_loop

BATCH_S = 0.050
ITEM_S = 0.001
MAX_BATCH = 32
WAIT_S = 0.010
"""How long ``ray.serve.batch`` waits for a batch to fill."""

Sizes = list[int]
Policy = Callable[[Sizes], tuple[Callable[[int], Awaitable[object]], Callable[[], Awaitable[None]]]]


def run_model(batch: list[int], sizes: Sizes) -> list[int]:
    sizes.append(len(batch))
    time.sleep(BATCH_S + ITEM_S * len(batch))
    return batch


def drain_when_free(sizes: Sizes) -> tuple[Callable[[int], Awaitable[object]], Callable[[], Awaitable[None]]]:
    batcher = Batcher[int, list[int], int](
        collate=list,
        run=lambda batch: run_model(batch, sizes),
        shape=lambda _: (1, 1),
        budget=BatchBudget(MAX_BATCH, MAX_BATCH),
        max_queue=1_000_000,
    )
    return batcher.submit, batcher.close


def enter_replica() -> None:
    """Pretend to be a replica, as Ray's own tests of ``serve.batch`` do: it refuses to run elsewhere."""
    _set_internal_replica_context(
        replica_id=ReplicaID("benchmark", DeploymentID("benchmark")),
        servable_object=run_model,
        _deployment_config=DeploymentConfig(max_ongoing_requests=1_000_000),
        rank=ReplicaRank(rank=0, node_rank=0, local_rank=0),
        world_size=1,
    )


def serve_batch(sizes: Sizes) -> tuple[Callable[[int], Awaitable[object]], Callable[[], Awaitable[None]]]:
    enter_replica()

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=WAIT_S)
    async def run(batch: list[int]) -> list[int]:
        return await asyncio.to_thread(run_model, batch, sizes)

    async def close() -> None:
        """Nothing to end: its queue lives as long as the process."""

    return run, close


async def measure(policy: Policy, rate: float, seconds: float) -> tuple[Load, Sizes]:
    """What the callers saw, and batch sizes."""
    sizes: Sizes = []
    submit, close = policy(sizes)
    load = await open_loop(submit, rate, seconds)
    await close()
    return load, sizes


def main(
    rates: Annotated[list[int] | None, typer.Option("--rate", help="Arrivals per second; repeatable.")] = None,
    seconds: Annotated[float, typer.Option(help="Seconds of arrivals for each measurement.")] = 10,
) -> None:
    table = Table("in/s", "policy", "out/s", "p50 ms", "p99 ms", "mean batch", "p50 ratio")
    for rate in rates or [50, 200, 300]:
        best_p50 = None
        for name, policy in (("drain-when-free", drain_when_free), ("ray.serve.batch", serve_batch)):
            load, sizes = asyncio.run(measure(policy, rate, seconds))
            p50, p99 = (1000 * load.latency_s(percent) for percent in (50, 99))
            best_p50 = best_p50 or p50
            mean = sum(sizes) / len(sizes)
            figures = (f"{load.per_second:.0f}", f"{p50:.0f}", f"{p99:.0f}", f"{mean:.1f}", f"{p50 / best_p50:.1f}")
            table.add_row(str(rate), name, *figures)
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
