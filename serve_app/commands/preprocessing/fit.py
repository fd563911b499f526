"""How near a picture comes to a tensor under the best mean, std and value range.

The three are together one straight line a channel, so they are fitted by least squares rather than tried one after the
other; the line is then looked up among the known ones, and stated where it is none of them.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from deployments.imaging.spec import ImageSpec
from serve_app.commands.preprocessing.normalizations import factors, known
from serve_app.commands.preprocessing.photo import Pixels
from serve_app.commands.preprocessing.recipe import ROUNDING, Normalization, Recipe, Triple, card_recipe, departures

UNLISTED = "not a known one"
"""Name of a mean and std that were fitted."""
SAME_LINE = 0.25
"""Grey levels within which two means and stds are the same, one of them written with fewer digits."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Region:
    """Where the photo lies in a tensor; the rest is padding of one colour."""

    top: int
    left: int
    height: int
    width: int

    def of(self, numbers: Numbers) -> Numbers:
        """This part of [H, W, 3]."""
        return numbers[self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True)
class Candidate:
    """A picture that a recipe puts into a region of a tensor, beside what the tensor has there."""

    recipe: Recipe
    """Its mean, std and value range mean nothing yet."""
    region: Region
    pixels: Pixels
    """[h, w, 3] in the recipe's channel order."""
    numbers: Numbers
    """[h, w, 3]"""
    precision: float
    """Relative spacing of the tensor's numbers."""

    def thinned(self, stride: int) -> Self:
        """Every so many rows and columns of it."""
        return replace(self, pixels=self.pixels[::stride, ::stride], numbers=self.numbers[::stride, ::stride])


@dataclass(frozen=True)
class Match:
    """How near a recipe comes to a tensor, in grey levels of the photo."""

    recipe: Recipe
    region: Region
    largest: float
    mean: float
    tolerance: float
    """Grey levels that rounding, and the precision of the file's numbers, account for."""

    @property
    def reproduces(self) -> bool:
        """Whether nothing but rounding is left."""
        return self.largest <= self.tolerance


def as_pixels(candidate: Candidate) -> Match:
    """Take the tensor for plain grey levels."""
    distance = np.abs(candidate.numbers - candidate.pixels)
    return Match(candidate.recipe, candidate.region, float(distance.max()), float(distance.mean()), ROUNDING)


def fit(candidate: Candidate) -> Match:
    """The mean and std, whatever they are, that bring the picture nearest to the tensor."""
    pixels, numbers = candidate.pixels.astype(np.float64), candidate.numbers
    x, y = pixels.mean(axis=(0, 1)), numbers.mean(axis=(0, 1))
    variance = ((pixels - x) ** 2).mean(axis=(0, 1))
    slope = ((pixels - x) * (numbers - y)).mean(axis=(0, 1)) / np.maximum(variance, 1e-9)
    # A slope that is not positive is no std at all; under this one the candidate comes out far away.
    slope = np.maximum(slope, 1e-9)
    return _measure(candidate, Normalization(UNLISTED, _triple(x - y / slope), _triple(1 / slope)), 1.0)


def name(candidate: Candidate, fitted: Match, spec: ImageSpec) -> Match:
    """The known mean, std and value range that say what a fit says, the card's own before others; else the fit."""
    lines = [(each, factor) for each in known(spec) for factor in factors(spec, each)]
    ends = np.stack([candidate.pixels.min(axis=(0, 1)), candidate.pixels.max(axis=(0, 1))]).astype(np.float64)
    departure = [_departure(line, fitted.recipe.normalization, ends) for line in lines]
    equal = [line for line, far in zip(lines, departure, strict=True) if far <= min(departure) + SAME_LINE]
    rule = card_recipe(spec)
    normalization, factor = min(
        equal, key=lambda line: len(list(departures(replace(rule, normalization=line[0], value_factor=line[1]), rule)))
    )
    best = _measure(candidate, normalization, factor)
    return best if best.mean <= 1.5 * fitted.mean + ROUNDING / 4 else fitted


def _departure(line: tuple[Normalization, float], fitted: Normalization, ends: Numbers) -> float:
    """How far, in grey levels, a line takes the darkest and brightest pixels [2, 3] from where the fit takes them."""
    normalization, factor = line
    numbers = (ends - np.array(fitted.mean)) / np.array(fitted.std)
    return float(np.abs(_undo(numbers, normalization, factor) - ends).max())


def _undo(numbers: Numbers, normalization: Normalization, factor: float) -> Numbers:
    pixels: Numbers = (numbers * np.array(normalization.std) + np.array(normalization.mean)) / factor
    return pixels


def _measure(candidate: Candidate, normalization: Normalization, factor: float) -> Match:
    recipe = replace(candidate.recipe, normalization=normalization, value_factor=factor)
    distance = np.abs(_undo(candidate.numbers, normalization, factor) - candidate.pixels)
    widest = np.abs(candidate.numbers).max(axis=(0, 1)) * np.array(normalization.std) / factor
    tolerance = ROUNDING + candidate.precision * float(widest.max())
    return Match(recipe, candidate.region, float(distance.max()), float(distance.mean()), tolerance)


def _triple(values: Numbers) -> Triple:
    first, second, third = values.tolist()
    return first, second, third
