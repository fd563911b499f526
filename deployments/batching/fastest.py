"""How many images are worth running together, by measurement."""

from collections.abc import Callable
from time import perf_counter

WORTH = 0.85
"""A batch twice as large must need at most this share of the time an image: each of its images waits for all others."""
ROUNDS = 3
"""Of each pair, by turns; the quickest counts, since whatever else the machine does only slows a run."""


def fastest_batch(
    run: Callable[[int], object],
    most: int,
    clock: Callable[[], float] = perf_counter,
) -> int:
    """Images of the smallest batch beyond which a larger one gains little: 1, 2, 4 and so on, up to ``most``.

    run: runs a batch of so many images, and has run one before; where it raises MemoryError, the last size is it.
    """

    def seconds(size: int) -> float:
        started = clock()
        run(size)
        return clock() - started

    size = 1
    while 2 * size <= most:
        try:
            times = [(seconds(size), seconds(2 * size)) for _ in range(ROUNDS)]
        except MemoryError:
            return size
        alone, together = map(min, zip(*times, strict=True))
        if together > 2 * alone * WORTH:
            return size
        size *= 2
    return size
