import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.client import ConnectionLost, DeadlineExceeded, MaskgraphError, Overloaded, ServiceUnreachable
from serve_app.client.attempts import Attempts


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def busy(retry_after_s: float | None = None) -> Overloaded:
    return Overloaded("busy", "overloaded", status=503, retry_after_s=retry_after_s)


@given(st.floats(0.1, 600), st.lists(st.none() | st.floats(0, 100), max_size=30), st.integers(0, 2000))
def test_no_pause_ends_after_the_deadline_and_none_is_shorter_than_asked(
    timeout_s: float, waits: list[float | None], retries: int
) -> None:
    clock = Clock()
    attempts = Attempts(timeout_s, retries, clock)
    for number, wait in enumerate(waits):
        try:
            pause = attempts.pause(busy(wait))
        except Overloaded:
            return
        assert number < retries
        assert pause >= (wait or 0)
        clock.now += pause
        assert attempts.remaining() > 0
        assert clock.now < 1000 + timeout_s


def test_pauses_double_up_to_a_bound() -> None:
    attempts = Attempts(10**6, 2000, Clock())
    pauses = [attempts.pause(ServiceUnreachable("away", "unreachable")) for _ in range(2000)]
    for number, pause in enumerate(pauses):
        least = 0.25 * 2 ** min(number, 5)
        assert least <= pause <= 1.25 * least


def test_time_runs_out() -> None:
    clock = Clock()
    attempts = Attempts(30, 4, clock)
    clock.now += 12
    assert attempts.remaining() == 18
    assert attempts.timeout().as_dict() == {"connect": 10, "read": 18, "write": 18, "pool": 18}
    clock.now += 18
    for ask in (attempts.remaining, attempts.timeout):
        with pytest.raises(DeadlineExceeded, match="no answer within 30 s"):
            ask()


@pytest.mark.parametrize("error", [ConnectionLost("broke", "connection_lost"), DeadlineExceeded("over", "deadline")])
def test_what_may_have_been_done_has_no_second_attempt(error: MaskgraphError) -> None:
    with pytest.raises(type(error)) as caught:
        Attempts(30, 4, Clock()).pause(error)
    assert caught.value is error
