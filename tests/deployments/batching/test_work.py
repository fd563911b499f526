from contextlib import ExitStack, suppress

import pytest

from deployments.batching.work import WINDOW_S, WorkMeter


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def work(meter: WorkMeter, clock: Clock, times: int, busy_s: float, idle_s: float, items: int = 1) -> None:
    """Items come together, leave together after ``busy_s``, and the next ones come ``idle_s`` later."""
    for _ in range(times):
        with ExitStack() as stack:
            for _ in range(items):
                stack.enter_context(meter.item())
            clock.now += busy_s
        clock.now += idle_s


@pytest.mark.parametrize(("busy_s", "idle_s", "share"), [(0.1, 0.0, 1.0), (0.1, 0.1, 0.5), (0.05, 0.15, 0.25)])
def test_the_busy_share_of_a_steady_load(clock: Clock, busy_s: float, idle_s: float, share: float) -> None:
    meter = WorkMeter(clock=clock)
    work(meter, clock, 200, busy_s, idle_s)
    assert meter.busy() == pytest.approx(share, abs=busy_s / WINDOW_S)
    assert meter.cost_s() == pytest.approx(busy_s, rel=0.05)


def test_a_batch_shares_its_cost(clock: Clock) -> None:
    meter = WorkMeter(clock=clock)
    work(meter, clock, 100, 0.8, 0.0, items=8)
    assert meter.busy() == 1
    assert meter.cost_s() == pytest.approx(0.1, rel=0.2)


def test_two_lanes_are_busy_when_both_are_taken(clock: Clock) -> None:
    meter = WorkMeter(lanes=2, clock=clock)
    work(meter, clock, 100, 0.1, 0.0)
    assert meter.busy() == pytest.approx(0.5)
    assert meter.cost_s() == pytest.approx(0.05, rel=0.05)
    work(meter, clock, 100, 0.1, 0.0, items=3)
    assert meter.busy() == pytest.approx(1)


def test_a_replica_that_stops_is_idle_after_the_window_and_remembers_its_cost(clock: Clock) -> None:
    meter = WorkMeter(clock=clock)
    assert (meter.busy(), meter.cost_s()) == (0, 0)
    work(meter, clock, 100, 0.1, 0.0)
    cost_s = meter.cost_s()
    clock.now += WINDOW_S / 2
    assert meter.busy() == pytest.approx(0.5)
    clock.now += WINDOW_S
    assert meter.busy() == 0
    assert meter.cost_s() == pytest.approx(cost_s, rel=0.6)
    assert meter.cost_s() > 0


def test_an_item_that_never_ends_keeps_a_replica_busy(clock: Clock) -> None:
    meter = WorkMeter(clock=clock)
    with meter.item():
        clock.now += 3 * WINDOW_S
        assert meter.busy() == 1


def test_a_failed_item_is_no_answer(clock: Clock) -> None:
    meter = WorkMeter(clock=clock)
    with suppress(ValueError), meter.item():
        clock.now += 1
        raise ValueError
    assert meter.cost_s() == 0
    assert meter.busy() == 1
    clock.now += 2 * WINDOW_S
    assert meter.busy() == 0
