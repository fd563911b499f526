from collections.abc import Callable

import pytest

from deployments.batching.fastest import fastest_batch


class Device:
    """Takes a time that depends on the batch, on a clock of its own."""

    def __init__(self, seconds: Callable[[int], float], memory: int = 1000) -> None:
        self.seconds, self.memory = seconds, memory
        self.now = 0.0
        self.ran: list[int] = []

    def run(self, size: int) -> None:
        if size > self.memory:
            raise MemoryError
        self.ran.append(size)
        self.now += self.seconds(size)

    def fastest(self, most: int = 32) -> int:
        return fastest_batch(self.run, most, clock=lambda: self.now)


def test_a_device_that_gains_nothing_runs_images_alone() -> None:
    device = Device(lambda size: 0.04 * size)
    assert device.fastest() == 1
    assert max(device.ran) == 2


@pytest.mark.parametrize(("most", "expected"), [(32, 32), (8, 8), (5, 4), (1, 1)])
def test_a_device_that_takes_as_long_for_many_as_for_one(most: int, expected: int) -> None:
    assert Device(lambda size: 0.04).fastest(most) == expected


def test_a_device_that_saturates() -> None:
    # 10 ms to start, 1 ms an image: 16 images save 36 per cent beside 8, 32 save 19, 64 only 11.
    assert Device(lambda size: 0.01 + 0.001 * size).fastest(128) == 32


def test_a_slow_minute_does_not_count() -> None:
    device = Device(lambda size: 0.04 * size * (5 if len(device.ran) in (1, 4) else 1))
    assert device.fastest() == 1


def test_memory_bounds_it() -> None:
    assert Device(lambda size: 0.04, memory=8).fastest() == 8
