"""What it costs to hand pixels to another process, by size: ``python -m benchmarks.transport``, on Linux.

A message of grpc.aio, as Serve's by-value transport sends it; an argument through Ray's object store, as its other one
does; memory that both share beside a small message, as the ingress hands pixels to a replica on its machine. CPU
milliseconds of each process a call, eight at once. Run it with the MALLOC variables of serve_config.yaml in the
environment, as replicas have them.
"""

import asyncio
import os
import pickle
import time
from collections.abc import Awaitable, Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection

import grpc  # type: ignore[import-untyped]
import numpy as np
import ray
from numpy.typing import NDArray
from ray.serve.generated.serve_pb2 import ASGIRequest, ASGIResponse
from rich.console import Console
from rich.table import Table

from benchmarks.processes import processes
from deployments.shared_pixels import PixelSharing, SharedPixels

SIZES = (331_776, 921_600, 1_999_998, 3_999_999, 5_298_300, 8_294_400)
CALLS = 240
AT_ONCE = 8
UNLIMITED = [("grpc.max_receive_message_length", -1)]
Pixels = NDArray[np.uint8]
Call = Callable[[], Awaitable[float]]
"""Sends the pixels; the CPU seconds that the other process has used by then."""


def touch(pixels: Pixels) -> bytes:
    """Read a byte of every page, and say how much CPU this process has used."""
    pixels[::4096].sum()
    return pickle.dumps(time.process_time())


async def serve(connection: Connection) -> None:
    async def handle(request: ASGIRequest, _: object) -> ASGIResponse:
        pixels = pickle.loads(request.request_args)
        if isinstance(pixels, SharedPixels):
            pixels = pixels.open().reshape(-1)
        return ASGIResponse(serialized_message=touch(pixels))

    server = grpc.aio.server(options=UNLIMITED)
    method = grpc.unary_unary_rpc_method_handler(handle, ASGIRequest.FromString, ASGIResponse.SerializeToString)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("benchmark", {"Call": method}),))
    connection.send(server.add_insecure_port("127.0.0.1:0"))
    await server.start()
    await server.wait_for_termination()


def run_server(connection: Connection) -> None:
    asyncio.run(serve(connection))


async def measure(call: Call) -> tuple[float, float]:
    """CPU milliseconds a call of the caller and of the callee."""
    for _ in range(AT_ONCE):
        before = await call()
    own, after = time.process_time(), before

    async def repeat() -> None:
        nonlocal after
        for _ in range(CALLS // AT_ONCE):
            after = max(after, await call())

    await asyncio.gather(*(repeat() for _ in range(AT_ONCE)))
    return 1000 * (time.process_time() - own) / CALLS, 1000 * (after - before) / CALLS


async def over_grpc(port: int) -> dict[tuple[str, int], tuple[float, float]]:
    """By value, and shared, by size."""
    costs = {}
    sharing = PixelSharing()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=UNLIMITED) as channel:
        method = channel.unary_unary("/benchmark/Call", ASGIRequest.SerializeToString, ASGIResponse.FromString)

        async def send(argument: object) -> float:
            answer = await method(ASGIRequest(request_args=pickle.dumps(argument, 5)))
            return float(pickle.loads(answer.serialized_message))

        for size in SIZES:
            pixels = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)

            async def shared(pixels: Pixels = pixels) -> float:
                with sharing.shared(pixels.reshape(1, -1, 3)) as where:
                    return await send(where)

            costs["gRPC", size] = await measure(lambda pixels=pixels: send(pixels))  # type: ignore[misc]
            costs["shared memory", size] = await measure(shared)
    return costs


@ray.remote(num_cpus=0.1)
class Callee:
    async def call(self, pixels: Pixels) -> bytes:
        return touch(pixels)


@ray.remote(num_cpus=0.1)
class Caller:
    async def measure(self, callee: "ray.actor.ActorHandle", size: int) -> tuple[float, float]:
        pixels = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)

        async def call() -> float:
            return float(pickle.loads(await callee.call.remote(pixels)))

        return await measure(call)


def raylet_cpu() -> float:
    """CPU seconds of the raylets and control services that this process has started."""
    stats = processes()
    mine = {pid for pid, stat in stats.items() if stat.parent == os.getpid()}
    return sum(stats[pid].cpu_s for pid in mine)


def through_the_object_store(table: Table) -> None:
    callee = Callee.remote()
    caller = Caller.remote()
    for size in SIZES:
        before = raylet_cpu()
        own, other = ray.get(caller.measure.remote(callee, size))
        raylet = 1000 * (raylet_cpu() - before) / (CALLS + AT_ONCE)
        table.add_row("object store", f"{size / 1e6:.2f}", f"{own:.2f}", f"{other:.2f}", f"{raylet:.2f}")


def main() -> None:
    table = Table("transport", "MB", "caller ms", "callee ms", "raylet ms")
    ours, theirs = get_context("spawn").Pipe()
    server = get_context("spawn").Process(target=run_server, args=(theirs,), daemon=True)
    server.start()
    for (transport, size), (own, other) in sorted(asyncio.run(over_grpc(ours.recv())).items()):
        table.add_row(transport, f"{size / 1e6:.2f}", f"{own:.2f}", f"{other:.2f}", "")
    server.terminate()
    ray.init(include_dashboard=False, num_cpus=4, object_store_memory=300 * 1024 * 1024, log_to_driver=False)
    try:
        through_the_object_store(table)
    finally:
        ray.shutdown()
    Console().print(table)


if __name__ == "__main__":
    main()
