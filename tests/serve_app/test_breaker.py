"""When calls are kept back, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from serve_app.breaker import FAILURES, PATIENCE_S, TRIED_EVERY_S, Breaker, BreakerOpen
from tests.serve_app.virtual_time import run


@dataclass
class Branch:
    """Answers, or never does; a call of it ends as a word."""

    answers: bool = True
    is_silent: bool = False
    sent: int = 0
    breaker: Breaker = field(init=False)

    def __post_init__(self) -> None:
        self.breaker = Breaker(lambda: self.is_silent, asyncio.get_running_loop().time)

    async def call(self, seconds: float = 30.0) -> str:
        try:
            async with self.breaker.call(seconds):
                self.sent += 1
                if not self.answers:
                    await asyncio.Event().wait()
        except BreakerOpen:
            return "refused"
        except TimeoutError:
            return "late"
        return "answered"


def in_virtual_time(test: Callable[[Branch], Awaitable[None]]) -> Callable[[], None]:
    """The test, given a branch."""

    async def with_branch() -> None:
        await test(Branch())

    def wrapped() -> None:
        made: Coroutine[Any, Any, None] = with_branch()
        run(made)

    wrapped.__name__ = test.__name__  # type: ignore[attr-defined]
    return wrapped


@in_virtual_time
async def test_a_branch_that_answers_gets_every_call(branch: Branch) -> None:
    assert [await branch.call() for _ in range(3)] == ["answered"] * 3


@in_virtual_time
async def test_calls_without_an_answer_open_it_and_one_that_is_answered_closes_it(branch: Branch) -> None:
    branch.answers = False
    assert [await branch.call() for _ in range(FAILURES)] == ["late"] * FAILURES
    assert branch.breaker.open
    started = asyncio.get_running_loop().time()
    assert [await branch.call() for _ in range(10)] == ["refused"] * 10
    assert asyncio.get_running_loop().time() == started
    branch.answers = True
    await asyncio.sleep(TRIED_EVERY_S)
    assert await branch.call() == "answered"
    assert not branch.breaker.open


@in_virtual_time
async def test_one_call_at_a_time_tries(branch: Branch) -> None:
    branch.answers = False
    await asyncio.gather(*(branch.call() for _ in range(FAILURES)))
    sent = branch.sent
    await asyncio.sleep(TRIED_EVERY_S)
    trying = asyncio.create_task(branch.call(10))
    for _ in range(9):
        await asyncio.sleep(TRIED_EVERY_S)
        assert await branch.call() == "refused"
    assert await trying == "late"
    assert await branch.call() == "refused"
    assert branch.sent == sent + 1


@in_virtual_time
async def test_answers_between_failures_keep_it_closed(branch: Branch) -> None:
    for _ in range(3):
        branch.answers = False
        for _ in range(FAILURES - 1):
            await branch.call()
        branch.answers = True
        assert await branch.call() == "answered"


@in_virtual_time
async def test_clients_in_a_hurry_open_nothing(branch: Branch) -> None:
    branch.answers = False
    for _ in range(10 * FAILURES):
        assert await branch.call(PATIENCE_S - 1) == "late"
    assert not branch.breaker.open


@in_virtual_time
async def test_pictures_that_fail_open_nothing(branch: Branch) -> None:
    for _ in range(10 * FAILURES):
        with pytest.raises(ValueError, match="this picture"):
            async with branch.breaker.call(30):
                raise ValueError("this picture")
    assert not branch.breaker.open


@in_virtual_time
async def test_nothing_is_sent_to_a_silent_branch_and_what_waits_ends(branch: Branch) -> None:
    branch.answers = False
    waiting = [asyncio.create_task(branch.call()) for _ in range(3)]
    await asyncio.sleep(10)
    branch.is_silent = True
    branch.breaker.cut()
    started = asyncio.get_running_loop().time()
    assert await asyncio.gather(*waiting) == ["refused"] * 3
    await asyncio.sleep(10 * TRIED_EVERY_S)
    assert await branch.call() == "refused"
    assert asyncio.get_running_loop().time() - started == 10 * TRIED_EVERY_S
    branch.is_silent, branch.answers = False, True
    assert await branch.call() == "answered"
