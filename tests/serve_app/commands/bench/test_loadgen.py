"""The load generators over servers that are one coroutine each."""

import asyncio
import math

import numpy as np
import pytest
from aiohttp import web

from serve_app.commands.bench.loadgen import Failed, Load, closed_loop, http_session, open_loop, poisson_arrivals, post


def test_poisson_arrivals_come_at_the_rate_and_independently() -> None:
    arrivals = poisson_arrivals(50, 200, seed=0)
    gaps = np.diff(arrivals)
    assert len(arrivals) == pytest.approx(10_000, rel=0.03)
    assert arrivals == sorted(arrivals)
    assert arrivals[0] >= 0
    assert arrivals[-1] < 200
    # Of exponential gaps the standard deviation is the mean; of a metronome's it is 0.
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)
    assert poisson_arrivals(50, 200, seed=0) == arrivals
    assert poisson_arrivals(50, 200, seed=1) != arrivals


def test_percentiles_are_in_seconds_and_nan_without_answers() -> None:
    assert Load(latencies_s=[index / 100 for index in range(101)]).latency_s(95) == pytest.approx(0.95)
    assert math.isnan(Load().latency_s(50))


async def test_a_closed_loop_never_has_more_requests_open_than_clients() -> None:
    inside = most = 0

    async def send(number: int) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.01)
        inside -= 1

    load = await closed_loop(send, 3, 0.3)
    assert most == 3
    assert inside == 0
    assert not load.errors
    # Some came before the measured time, and at most one a client after it.
    assert 3 <= len(load.latencies_s) <= load.sent - 3
    assert min(load.latencies_s) >= 0.009


async def test_a_closed_loop_sends_each_number_once_and_counts_failures_by_kind() -> None:
    numbers = []

    async def send(number: int) -> None:
        numbers.append(number)
        await asyncio.sleep(0.001)
        if number % 4 == 3:
            raise Failed("503 text/plain")

    load = await closed_loop(send, 2, 0.2)
    assert sorted(numbers) == list(range(load.sent))
    assert load.errors == {"503 text/plain": load.sent // 4}
    assert len(load.latencies_s) + load.errors.total() <= load.sent


async def test_requests_longer_than_the_measured_time_are_measured_all_the_same() -> None:
    async def send(number: int) -> None:
        await asyncio.sleep(0.05)

    load = await closed_loop(send, 2, 0.01)
    assert 4 <= load.sent <= 5
    assert len(load.latencies_s) == 2
    assert load.seconds >= 0.05 * 0.9


async def test_a_refused_client_waits_as_long_as_it_is_asked_to() -> None:
    async def send(number: int) -> None:
        await asyncio.sleep(0.001)
        raise Failed("503 application/json", retry_after_s=0.05)

    load = await closed_loop(send, 2, 0.3)
    assert load.latencies_s == []
    assert load.errors.total() == load.sent <= 2 * (0.35 / 0.05 + 2)


async def test_an_open_loop_counts_latency_from_the_planned_arrival() -> None:
    """A server of one at a time that needs 20 ms under 100 arrivals a second: the queue grows, and the latency too."""
    one = asyncio.Lock()

    async def send(number: int) -> None:
        async with one:
            await asyncio.sleep(0.02)

    load = await open_loop(send, 100, 0.5)
    assert len(load.latencies_s) == load.sent == len(poisson_arrivals(100, 0.5, 0))
    assert load.seconds >= 0.02 * load.sent
    assert load.latency_s(100) >= 0.02 * load.sent - 0.5
    assert load.per_second <= 50


async def test_http_failures_are_named_by_status_and_content_type() -> None:
    async def answer(request: web.Request) -> web.Response:
        body = await request.read()
        if body == b"refuse":
            return web.Response(status=503, text="no", content_type="text/plain", headers={"Retry-After": "7"})
        return web.Response(body=request.headers["Content-Type"].encode() + b" " + body)

    application = web.Application()
    application.router.add_post("/", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    async with http_session() as session:
        assert await post(session, f"http://{host}:{port}/", b"photo") == b"image/jpeg photo"
        with pytest.raises(Failed, match="503 text/plain") as refusal:
            await post(session, f"http://{host}:{port}/", b"refuse")
        assert refusal.value.retry_after_s == 7
        await runner.cleanup()
        with pytest.raises(Failed, match="Client"):
            await post(session, f"http://{host}:{port}/", b"photo")
