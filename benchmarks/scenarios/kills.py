"""Processes that are killed, as the kernel kills for want of memory, under a steady load."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc

from benchmarks import processes
from benchmarks.scenarios.load import infer_request
from benchmarks.scenarios.service import Seen, Service

RATE = 2.0
"""Photos a second, whatever becomes of them."""
SECONDS = 30
KILLED_AFTER_S = 5.0
REPLACED_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Ended:
    """One photo's end; both times are seconds since the load began."""

    asked: float
    ended: float
    status: int
    """Of HTTP, 200 for OK or a code of gRPC, or 0 where there was no answer."""


async def steady(
    service: Service, kill: str, ask: Callable[[], Awaitable[int]] | None = None
) -> tuple[list[Ended], float]:
    """RATE photos a second, and a process of this title killed meanwhile; what came of them, and when it was killed.

    ``ask`` sends one and returns the status, by default over HTTP.
    """
    start = time.monotonic()
    ends: list[Ended] = []

    async def photo(number: int) -> None:
        await asyncio.sleep(number / RATE)
        asked = time.monotonic() - start
        status = (await service.ask())[0] if ask is None else await ask()
        ends.append(Ended(asked, time.monotonic() - start, status))

    async def killer() -> float:
        await asyncio.sleep(KILLED_AFTER_S)
        os.kill(find(service, kill), signal.SIGKILL)
        return time.monotonic() - start

    killed = asyncio.create_task(killer())
    await asyncio.gather(*(photo(number) for number in range(int(RATE * SECONDS))))
    at = await killed
    await replaced(service, kill)
    return sorted(ends, key=lambda each: each.asked), at


def find(service: Service, title: str) -> int:
    """The process of the service with this title."""
    titles = processes.titles(processes.trees([service.root]))
    found = [pid for pid, name in titles.items() if name.endswith(title)]
    if not found:
        raise RuntimeError(f"no process {title} below {service.root}: {sorted(set(titles.values()))}")
    return found[0]


async def replaced(service: Service, title: str) -> None:
    """Wait until there is another one and the service is ready again."""
    end = time.monotonic() + REPLACED_WITHIN_S
    while time.monotonic() < end:
        await asyncio.sleep(1)
        titles = processes.titles(processes.trees([service.root])).values()
        status, _, _ = await service.ask()
        if status == 200 and any(name.endswith(title) for name in titles):
            return
    raise RuntimeError(f"{title} was not replaced within {REPLACED_WITHIN_S:.0f} s")


async def loses_nothing(service: Service, title: str, ask: Callable[[], Awaitable[int]] | None = None) -> Seen:
    """Kill and count."""
    ends, _ = await steady(service, title, ask)
    statuses = Counter(each.status for each in ends)
    worst = max(each.ended - each.asked for each in ends)
    return Seen(set(statuses) == {200}, f"{dict(statuses)} of {len(ends)}, the slowest in {worst:.1f} s")


async def kill_mask_detection(service: Service) -> Seen:
    """kill -9 of the mask detection replica: every photo is answered."""
    return await loses_nothing(service, "MaskDetection")


async def kill_instance_segmentation(service: Service) -> Seen:
    """kill -9 of the instance segmentation replica: every photo is answered."""
    return await loses_nothing(service, "InstanceSegmentation")


async def kill_ingress(service: Service) -> Seen:
    """kill -9 of the ingress replica: every photo is answered."""
    return await loses_nothing(service, "Ingress")


async def kill_ingress_over_grpc(service: Service) -> Seen:
    """kill -9 of the ingress replica: every photo that comes over gRPC is answered."""
    data = infer_request(service.photo).SerializeToString()
    async with grpc.aio.insecure_channel(service.grpc) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

        async def ask() -> int:
            try:
                await infer(data, timeout=60)
            except grpc.aio.AioRpcError as error:
                return int(error.code().value[0])
            return 200

        return await loses_nothing(service, "Ingress", ask)


async def kill_controller(service: Service) -> Seen:
    """kill -9 of Serve's controller: every photo is answered."""
    return await loses_nothing(service, "ServeController")


async def kill_proxy(service: Service) -> Seen:
    """kill -9 of Serve's proxy: photos are answered again within 10 s."""
    ends, at = await steady(service, "ProxyActor")
    failed = [each for each in ends if each.status != 200]
    last = max((each.asked for each in failed), default=at)
    back = min((each.ended for each in ends if each.status == 200 and each.asked > last), default=float("inf")) - at
    return Seen(back < 10, f"{len(failed)} of {len(ends)} failed, back after {back:.1f} s")
