"""The shapes that a model will be asked for, so that none of them is the first of its kind for a user."""

from collections.abc import Callable, Iterator

from deployments.batching.budget import Shape

LONG_SIDE = 4000
"""Pixels, a phone's photo. Where a padded shape depends on the size too, those of smaller photos are not expected."""
COMMON_RATIOS = (4 / 3, 3 / 2, 16 / 9, 1.0)
"""Long over short side, of phones and small cameras, of larger cameras, of videos, and of what social networks crop."""
LARGEST_RATIO = 2.25
"""Of a phone's whole screen. Panoramas are rarer than it takes to warm up for them."""
STEP = 0.02
"""Between ratios: less than what 32 pixels make of a side of 800."""


def expected_pictures(shape_of: Callable[[int, int], Shape]) -> list[tuple[int, int]]:
    """Heights and widths of one picture for each padded shape that is to be expected, the most common first.

    shape_of: the padded shape that a network sees of a picture of this height and width.
    """
    pictures: dict[Shape, tuple[int, int]] = {}
    for height, width in _by_ratio():
        pictures.setdefault(shape_of(height, width), (height, width))
    return list(pictures.values())


def _by_ratio() -> Iterator[tuple[int, int]]:
    others = (1 + STEP * step for step in range(round((LARGEST_RATIO - 1) / STEP) + 1))
    for ratio in (*COMMON_RATIOS, *others):
        short = round(LONG_SIDE / ratio)
        yield short, LONG_SIDE
        yield LONG_SIDE, short
