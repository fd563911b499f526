"""Whether a branch answers, on a clock that only the test moves."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from serve_app.pulse import SILENCE_S, Pulse

PATIENCE_S = 15.0


class Replicas:
    """Answers to the question: True, an exception, or none."""

    def __init__(self) -> None:
        self.answer: bool | Exception = True
        self.asked = asyncio.Event()

    async def __call__(self) -> None:
        self.asked.set()
        if isinstance(self.answer, Exception):
            raise self.answer
        if not self.answer:
            await asyncio.Event().wait()


@pytest.fixture
def replicas() -> Replicas:
    return Replicas()


@pytest.fixture
def clock() -> list[float]:
    return [1000.0]


@pytest.fixture
def given_up() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
async def pulse(replicas: Replicas, clock: list[float], given_up: asyncio.Event) -> AsyncIterator[Pulse]:
    made = Pulse(replicas, PATIENCE_S, given_up.set, lambda: clock[0])
    yield made
    if made._asking is not None:
        made._asking.cancel()


async def asked(replicas: Replicas) -> None:
    replicas.asked.clear()
    await replicas.asked.wait()
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_alive_once_it_answers(pulse: Pulse, replicas: Replicas) -> None:
    assert not pulse.alive
    await asked(replicas)
    assert pulse.alive


async def test_photos_keep_it_alive_while_the_question_waits_behind_them(
    pulse: Pulse, replicas: Replicas, clock: list[float]
) -> None:
    replicas.answer = False
    pulse.start()
    for _ in range(5):
        pulse.heard()
        clock[0] += SILENCE_S - 1
        assert pulse.alive
    clock[0] += 1
    assert not pulse.alive


async def test_a_lost_replica_is_known_at_once_and_the_next_answer_mends_it(
    pulse: Pulse, replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.pulse.PERIOD_S", 0.0)
    pulse.start()
    await asked(replicas)
    assert pulse.alive
    replicas.answer = RuntimeError("the actor died")
    await asked(replicas)
    assert not pulse.alive
    replicas.answer = True
    await asked(replicas)
    assert pulse.alive
    pulse.lost()
    assert not pulse.alive


async def test_a_branch_that_was_never_heard_is_given_up_in_time(pulse: Pulse, clock: list[float]) -> None:
    pulse.start()
    clock[0] += PATIENCE_S - 1
    assert not pulse.silent
    clock[0] += 1
    assert pulse.silent
    pulse.heard()
    assert not pulse.silent


async def test_a_lost_replica_is_waited_for(
    pulse: Pulse, replicas: Replicas, clock: list[float], given_up: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.pulse.PERIOD_S", 0.0)
    pulse.start()
    await asked(replicas)
    replicas.answer = RuntimeError("the actor died")
    await asked(replicas)
    assert not pulse.alive
    assert not pulse.silent
    assert not given_up.is_set()
    clock[0] += PATIENCE_S
    await asked(replicas)
    assert pulse.silent
    assert given_up.is_set()
