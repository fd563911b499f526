"""The load generators: closed loop, open loop, and what they saw.

In a closed loop each client sends its next request once the last one is answered, so a slow server is asked less. In an
open loop requests arrive as Poisson says whatever the server does, and a latency counts from the planned arrival, so
that a late generator cannot hide a queue (coordinated omission).
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from random import Random

import aiohttp
import numpy as np

Send = Callable[[int], Awaitable[object]]
"""Sends the n-th request and returns once its answer is known to be good. Raises Failed where it is not."""
TIMEOUT_S = 120.0
"""After which a client gives up."""
RECONNECT_S = 0.1
"""Until a client tries again that had no answer."""


class Failed(Exception):
    """A request had no good answer; the message says which kind of failure, such as ``503 text/plain``."""

    def __init__(self, kind: str, retry_after_s: float = 0.0) -> None:
        super().__init__(kind)
        self.retry_after_s = retry_after_s
        """For how long the server asks to be left alone."""


@dataclass
class Load:
    """What a generator saw."""

    latencies_s: list[float] = field(default_factory=list)
    """Of the good answers, as they came."""
    errors: Counter[str] = field(default_factory=Counter)
    """Failures by kind, those outside the measured time too: none is overlooked."""
    seconds: float = 0.0
    """How long it measured."""
    sent: int = 0
    """Requests in all, those outside the measured time too."""
    generator_cpu_s: float = 0.0
    """CPU seconds that this process took for all of ``sent``."""

    @property
    def per_second(self) -> float:
        """Good answers a second."""
        return len(self.latencies_s) / self.seconds if self.seconds else 0.0

    def latency_s(self, percent: float) -> float:
        """A percentile of the latencies in seconds; NaN without any answer."""
        return float(np.percentile(self.latencies_s, percent)) if self.latencies_s else float("nan")


def poisson_arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """Arrival times in [0, seconds) of a Poisson process of ``rate`` a second."""
    random = Random(seed)
    arrivals: list[float] = []
    at = random.expovariate(rate)
    while at < seconds:
        arrivals.append(at)
        at += random.expovariate(rate)
    return arrivals


async def closed_loop(send: Send, clients: int, seconds: float) -> Load:
    """``clients`` that each send one request after another; one that is refused waits as long as the server asks for.

    Measures from when as many answers have come as there are clients, which is when the queue has its full length, for
    ``seconds`` and at least until as many have come again. Returns once the last answer is there.
    """
    load = Load(seconds=seconds)
    numbers = iter(range(2**62))
    came = 0
    begin = float("inf")
    cpu = time.process_time()

    def measuring(now: float) -> bool:
        return now <= begin + seconds or came < 2 * clients

    async def client() -> None:
        nonlocal came, begin
        while measuring(start := time.monotonic()):
            load.sent += 1
            failure = None
            try:
                await send(next(numbers))
            except Failed as error:
                failure = error
            end = time.monotonic()
            if came >= clients and measuring(end):
                load.seconds = max(seconds, end - begin)
                if failure is None:
                    load.latencies_s.append(end - start)
            came += 1
            if came == clients:
                begin = end
            if failure is not None:
                load.errors[str(failure)] += 1
                await asyncio.sleep(failure.retry_after_s)

    await asyncio.gather(*(client() for _ in range(clients)))
    load.generator_cpu_s = time.process_time() - cpu
    return load


async def open_loop(send: Send, rate: float, seconds: float, seed: int = 0) -> Load:
    """Poisson arrivals of ``rate`` a second for ``seconds``; measures until the last of them is answered."""
    load = Load()
    cpu = time.process_time()
    begin = time.monotonic()

    async def arrive(number: int, planned: float) -> None:
        await asyncio.sleep(begin + planned - time.monotonic())
        try:
            await send(number)
        except Failed as failure:
            load.errors[str(failure)] += 1
        else:
            load.latencies_s.append(time.monotonic() - begin - planned)

    arrivals = poisson_arrivals(rate, seconds, seed)
    load.sent = len(arrivals)
    await asyncio.gather(*(arrive(number, planned) for number, planned in enumerate(arrivals)))
    load.seconds = max(seconds, time.monotonic() - begin)
    load.generator_cpu_s = time.process_time() - cpu
    return load


def http_session(headers: Mapping[str, str] | None = None) -> aiohttp.ClientSession:
    """One for all clients: as many connections as there are requests, kept alive; ``headers`` go with each request."""
    return aiohttp.ClientSession(
        headers=headers,
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        trust_env=False,
    )


async def post(session: aiohttp.ClientSession, url: str, body: bytes, content_type: str = "image/jpeg") -> bytes:
    """The body of a 200. Raises Failed with the status and content type of another answer, or how there was none."""
    try:
        async with session.post(url, data=body, headers={"Content-Type": content_type}) as answer:
            received = await answer.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Failed(type(error).__name__, RECONNECT_S) from error
    if answer.status != 200:
        asked = answer.headers.get("Retry-After", "")
        raise Failed(f"{answer.status} {answer.content_type}", float(asked) if asked.isdigit() else 0.0)
    return received
