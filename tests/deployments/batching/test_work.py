import pytest

from deployments.batching.observer import BatchObserver
from deployments.batching.work import WINDOW_S, WorkMeter


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Recorder(BatchObserver):
    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []

    def queue_changed(self, length: int) -> None:
        self.heard.append(("queue", length))

    def batch_ran(self, waits_s: object, run_s: float) -> None:
        self.heard.append(("ran", waits_s, run_s))

    def dropped(self, reason: str) -> None:
        self.heard.append(("dropped", reason))

    def failed(self, error: BaseException) -> None:
        self.heard.append(("failed", error))


def run_for(meter: WorkMeter, clock: Clock, runs: int, run_s: float, idle_s: float, images: int = 1) -> None:
    for _ in range(runs):
        clock.now += idle_s + run_s
        meter.batch_ran([0.0] * images, run_s)


@pytest.mark.parametrize(("run_s", "idle_s", "share"), [(0.1, 0.0, 1.0), (0.1, 0.1, 0.5), (0.05, 0.15, 0.25)])
def test_the_busy_share_of_a_steady_load(run_s: float, idle_s: float, share: float) -> None:
    clock = Clock()
    meter = WorkMeter(BatchObserver(), clock=clock)
    run_for(meter, clock, 200, run_s, idle_s)
    assert meter.busy() == pytest.approx(share, abs=run_s / WINDOW_S)


def test_two_lanes_are_busy_when_both_run() -> None:
    clock = Clock()
    meter = WorkMeter(BatchObserver(), lanes=2, clock=clock)
    run_for(meter, clock, 100, 0.1, 0.0)
    assert meter.busy() == pytest.approx(0.5, abs=0.02)
    assert meter.cost_s == pytest.approx(0.05)


def test_a_device_that_stops_is_idle_after_the_window() -> None:
    clock = Clock()
    meter = WorkMeter(BatchObserver(), clock=clock)
    assert meter.busy() == 0
    run_for(meter, clock, 100, 0.1, 0.0)
    clock.now += WINDOW_S / 2
    assert meter.busy() == pytest.approx(0.5)
    clock.now += WINDOW_S
    assert meter.busy() == 0


def test_a_run_longer_than_the_window_counts_for_the_window() -> None:
    clock = Clock()
    meter = WorkMeter(BatchObserver(), clock=clock)
    run_for(meter, clock, 1, 3 * WINDOW_S, 0.0)
    assert meter.busy() == 1


def test_the_cost_of_an_image_follows_the_batches() -> None:
    clock = Clock()
    meter = WorkMeter(BatchObserver(), clock=clock)
    run_for(meter, clock, 1, 0.8, 0.0, images=8)
    assert meter.cost_s == pytest.approx(0.1)
    run_for(meter, clock, 50, 1.6, 0.0, images=8)
    assert meter.cost_s == pytest.approx(0.2, rel=1e-3)


def test_everything_is_passed_on() -> None:
    recorder, error = Recorder(), ValueError()
    meter = WorkMeter(recorder, clock=Clock())
    meter.queue_changed(3)
    meter.batch_ran([0.5], 0.1)
    meter.dropped("expired")
    meter.failed(error)
    assert recorder.heard == [("queue", 3), ("ran", [0.5], 0.1), ("dropped", "expired"), ("failed", error)]
