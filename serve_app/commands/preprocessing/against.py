"""Which recipe made this tensor: every way to read, turn, resize and order the channels is tried."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import get_args

import numpy as np

from deployments.imaging.spec import ImageSpec
from serve_app.commands.preprocessing.dump import SMALLEST_SIDE, Dump, UnusableDump
from serve_app.commands.preprocessing.fit import UNLISTED, Candidate, Match, Numbers, Region, as_pixels, fit, name
from serve_app.commands.preprocessing.photo import CannotRead, Orientation, Photo, Pixels, Reader
from serve_app.commands.preprocessing.recipe import (
    ROUNDING,
    Cause,
    ColorOrder,
    Recipe,
    card_recipe,
    departures,
    explain,
    resized,
    step_name,
)
from serve_app.commands.preprocessing.resampling import RESAMPLINGS

LEAST_CONTRAST = 4.0
"""Standard deviation in grey levels that each channel of the photo must have: flat pictures fit every recipe."""
GLANCE_PIXELS = 8_000
"""As many are enough to tell which candidates deserve a full look."""


@dataclass(frozen=True)
class Placement:
    """A departure from the card in where the photo lies, which has no grey levels to it."""

    step: str
    found: str
    card: str


@dataclass(frozen=True)
class Finding:
    """What a tensor turned out to be."""

    dump: Dump
    best: Match
    """The recipe that reproduces it with the fewest steps away from the card's rule; else the nearest."""
    others: list[Match]
    """Recipes that reproduce it as well."""
    causes: list[Cause]
    """The steps in which the best differs from the card's rule, the heaviest first."""
    placement: list[Placement]
    not_judged: list[str]
    """Steps on which this photo and tensor are silent, and why."""

    @property
    def agrees(self) -> bool:
        """Whether the card's own rule reproduces the tensor, but for rounding."""
        return self.best.reproduces and not self.placement and all(each.largest <= ROUNDING for each in self.causes)


def find(photo: Photo, dump: Dump, spec: ImageSpec) -> Finding:
    """Search all recipes for those that reproduce the tensor.

    Raises UnusableDump for a tensor of one colour and for a photo too flat to tell recipes apart.
    """
    best, *others = _search(photo, dump, spec)
    causes, placement = explain(photo, best.recipe, spec), list(_placement(photo, dump, best, spec))
    return Finding(dump, best, others, causes, placement, list(_not_judged(photo, dump, best)))


def _search(photo: Photo, dump: Dump, spec: ImageSpec) -> list[Match]:
    if (dump.numbers == dump.numbers[0, 0]).all():
        raise UnusableDump("the tensor has one colour only, which every recipe would fit")
    if photo.served.std(axis=(0, 1)).min() < LEAST_CONTRAST:
        raise UnusableDump("the photo is too flat to tell recipes apart; take one with contrast in every colour")
    glance = as_pixels if dump.is_picture else fit
    stride = max(1, int((dump.numbers[..., 0].size / GLANCE_PIXELS) ** 0.5))
    candidates = [(each, glance(each.thinned(stride)).mean) for each in _candidates(photo, dump, spec)]
    least = min(mean for _, mean in candidates)
    matches = [_look(each, dump, spec) for each, mean in candidates if mean <= 1.25 * least + ROUNDING]
    nearest = min(matches, key=lambda match: match.mean)
    rule = card_recipe(spec)
    # Where numbers are coarse, as float16, much lies within the tolerance: then only what is as near as the nearest.
    reproducing = [match for match in matches if match.reproduces and match.mean <= nearest.mean + ROUNDING / 2]
    return sorted(reproducing, key=lambda match: _order(match, rule)) or [nearest]


def _look(candidate: Candidate, dump: Dump, spec: ImageSpec) -> Match:
    return as_pixels(candidate) if dump.is_picture else name(candidate, fit(candidate), spec)


def _order(match: Match, rule: Recipe) -> tuple[bool, int, float]:
    steps = [step_name(field, match.recipe, rule) for field in departures(match.recipe, rule)]
    return match.recipe.normalization.name == UNLISTED, len(steps) - steps.count("rounding"), match.mean


def _candidates(photo: Photo, dump: Dump, spec: ImageSpec) -> Iterator[Candidate]:
    """Each distinct picture that may be in the tensor, in both channel orders."""
    rule = card_recipe(spec)
    orders: tuple[ColorOrder, ...] = get_args(ColorOrder)
    for reader, orientation, image in _readings(photo):
        for region in _regions(dump.numbers, spec.resized_size(*image.shape[:2])):
            tried: list[Pixels] = []
            for resampling in sorted(RESAMPLINGS, key=lambda each: each != rule.resampling):
                picture = resized(image, resampling, region.height, region.width)
                if any(np.array_equal(picture, other) for other in tried):
                    continue
                tried.append(picture)
                recipe = replace(rule, reader=reader, orientation=orientation, resampling=resampling)
                for order in orders:
                    pixels = picture[..., ::-1] if order == "bgr" else picture
                    numbers = region.of(dump.numbers)
                    yield Candidate(replace(recipe, color_order=order), region, pixels, numbers, dump.precision)


def _readings(photo: Photo) -> Iterator[tuple[Reader, Orientation, Pixels]]:
    """The photo as each library reads it, where that makes a difference."""
    distinct: list[Pixels] = []
    orientations: tuple[Orientation, ...] = ("upright", "stored") if photo.is_turned else ("upright",)
    readers: tuple[Reader, ...] = get_args(Reader)
    for orientation, reader in product(orientations, readers):
        try:
            image = photo.pixels(reader, orientation)
        except CannotRead:
            continue
        if not any(np.array_equal(image, other) for other in distinct):
            distinct.append(image)
            yield reader, orientation, image


def _regions(numbers: Numbers, card_size: tuple[int, int]) -> list[Region]:
    """Where the photo may lie: in the whole tensor, in what borders of one colour leave of it, in the card's place."""
    height, width = numbers.shape[:2]
    inside = (numbers != numbers[-1, -1]).any(axis=2)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    top, left, bottom, right = int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
    whole = Region(0, 0, height, width)
    regions = [whole, Region(0, 0, bottom, right), Region(top, left, bottom - top, right - left)]
    if bottom <= card_size[0] <= height and right <= card_size[1] <= width:
        regions.append(Region(0, 0, *card_size))
    large = [region for region in dict.fromkeys(regions) if min(region.height, region.width) >= SMALLEST_SIDE]
    return large or [whole]


def _placement(photo: Photo, dump: Dump, match: Match, spec: ImageSpec) -> Iterator[Placement]:
    region, recipe = match.region, match.recipe
    height, width = spec.resized_size(*photo.pixels(recipe.reader, recipe.orientation).shape[:2])
    if (region.height, region.width) != (height, width):
        yield Placement("size", f"{region.width}x{region.height}", f"{width}x{height}")
    if region.top or region.left:
        yield Placement(
            "padding", f"{region.top} rows above, {region.left} columns on the left", "right and below only"
        )
    is_padded = (region.height, region.width) != dump.numbers.shape[:2]
    filling = dump.numbers[-1, -1]
    if is_padded and not dump.is_picture and filling.any():
        numbers = ", ".join(f"{number:.3g}" for number in filling)
        yield Placement("padding value", numbers, "0 after mean and std")


def _not_judged(photo: Photo, dump: Dump, match: Match) -> Iterator[str]:
    if not photo.is_turned:
        yield "EXIF (the photo has no orientation to ignore)"
    if photo.pixels(match.recipe.reader, match.recipe.orientation).shape[:2] == (
        match.region.height,
        match.region.width,
    ):
        yield "the resize (the photo keeps its size)"
    if dump.is_picture:
        yield "mean/std and value range (the tensor is plain uint8)"
