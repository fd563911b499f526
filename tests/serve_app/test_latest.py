import asyncio
import gc
from collections.abc import Awaitable, Callable

import pytest

from serve_app.latest import MOST_KEPT, Latest


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_app.latest.PATIENCE_S", 0.02)


def giving(value: int) -> Callable[[], Awaitable[int]]:
    async def ask() -> int:
        return value

    return ask


async def never() -> int:
    return await asyncio.Future[int]()


async def test_an_answer_that_comes_soon_is_the_one_of_now() -> None:
    latest = Latest[int]()
    assert [await latest.answer("?", giving(value)) for value in (1, 2)] == [1, 2]


async def test_else_the_latest_one_is_given() -> None:
    latest = Latest[int]()
    assert await latest.answer("?", giving(1)) == 1
    assert await latest.answer("?", never) == 1
    assert await latest.answer("another", never) is None


async def test_what_is_too_old_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    latest = Latest[int]()
    await latest.answer("?", giving(1))
    monkeypatch.setattr("serve_app.latest.TRUSTED_S", 0.0)
    assert await latest.answer("?", never) is None


async def test_one_asks_for_all_and_who_leaves_does_not_end_it() -> None:
    latest = Latest[int]()
    asked = 0
    go = asyncio.Event()

    async def ask() -> int:
        nonlocal asked
        asked += 1
        await go.wait()
        return 7

    leaving = asyncio.create_task(latest.answer("?", ask))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await latest.answer("?", ask) is None
    go.set()
    assert await latest.answer("?", ask) == 7
    assert asked == 1


async def test_a_failure_is_raised_and_not_kept() -> None:
    latest = Latest[int]()

    async def fail() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await latest.answer("?", fail)
    assert await latest.answer("?", giving(1)) == 1


async def test_a_failure_that_comes_late_ends_the_trust_in_what_was_before(caplog: pytest.LogCaptureFixture) -> None:
    latest = Latest[int]()
    await latest.answer("?", giving(1))
    go = asyncio.Event()

    async def fail() -> int:
        await go.wait()
        raise ValueError("no")

    assert await latest.answer("?", fail) == 1
    go.set()
    await asyncio.sleep(0.01)
    assert await latest.answer("?", never) is None
    gc.collect()
    assert not caplog.records


async def test_no_more_answers_are_kept_than_that() -> None:
    latest = Latest[int]()
    for number in range(MOST_KEPT + 1):
        await latest.answer(number, giving(number))
    assert await latest.answer(0, never) is None
    assert await latest.answer(1, never) == 1
