"""A recipe: the steps from an encoded photo to the numbers that a network sees, and how two of them differ."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deployments.imaging.spec import ImageSpec
from serve_app.commands.preprocessing.photo import Orientation, Photo, Pixels, Reader
from serve_app.commands.preprocessing.resampling import RESAMPLINGS

ColorOrder = Literal["rgb", "bgr"]
Triple = tuple[float, float, float]
Tensor = NDArray[np.float32]

ROUNDING = 1.01
"""Grey levels by which libraries that follow one rule may differ: one, and what float32 loses on the way."""


@dataclass(frozen=True)
class Normalization:
    """A mean and std in grey levels (0 to 255), per channel in the order of the tensor."""

    name: str
    mean: Triple
    std: Triple


@dataclass(frozen=True)
class Recipe:
    """One way from an encoded photo to the network's input: (pixel * value_factor - mean) / std, [h, w, 3]."""

    reader: Reader
    orientation: Orientation
    color_order: ColorOrder
    resampling: str
    """A key of RESAMPLINGS."""
    normalization: Normalization
    value_factor: float = 1.0
    """1 where the pixels have the range that mean and std are for; 1/255 for pixels of 0..1 under a mean and std for
    0..255; 255 for pixels of 0..255 under a mean and std for 0..1."""


@dataclass(frozen=True)
class Difference:
    """Between two network inputs, in grey levels of the card; a smaller picture is zero-padded as the network's is."""

    levels: Tensor
    """Absolute, [h, w, 3]."""
    largest: float
    mean: float


@dataclass(frozen=True)
class Cause:
    """A step in which a recipe departs from the card's rule, and how much that step alone changes."""

    step: str
    found: str
    card: str
    largest: float
    mean: float


def card_recipe(spec: ImageSpec) -> Recipe:
    """What the service does for a card."""
    return Recipe("maskgraph", "upright", spec.color_order, spec.interpolation, card_normalization(spec))


def card_normalization(spec: ImageSpec) -> Normalization:
    """The card's mean and std, in grey levels."""
    return Normalization("the card's", _in_grey_levels(spec.mean, spec), _in_grey_levels(spec.std, spec))


def _in_grey_levels(values: Triple, spec: ImageSpec) -> Triple:
    first, second, third = (value / spec.scale for value in values)
    return first, second, third


def prepare(photo: Photo, recipe: Recipe, spec: ImageSpec) -> Pixels:
    """Read and resize to the size that the card gives: RGB uint8 [h, w, 3]. Raises CannotRead."""
    image = photo.pixels(recipe.reader, recipe.orientation)
    return resized(image, recipe.resampling, *spec.resized_size(*image.shape[:2]))


def resized(image: Pixels, resampling: str, height: int, width: int) -> Pixels:
    """RGB uint8 [height, width, 3]; a picture of that size stays as it is."""
    return image if image.shape[:2] == (height, width) else RESAMPLINGS[resampling].run(image, height, width)


def network_input(prepared: Pixels, recipe: Recipe) -> Tensor:
    """Prepared RGB uint8 [h, w, 3] to the network's numbers, float32 [h, w, 3] in the recipe's channel order."""
    pixels = prepared[..., ::-1] if recipe.color_order == "bgr" else prepared
    mean, std = (np.array(v, np.float32) for v in (recipe.normalization.mean, recipe.normalization.std))
    numbers: Tensor = (pixels.astype(np.float32) * np.float32(recipe.value_factor) - mean) / std
    return numbers


def seen(numbers: Tensor, spec: ImageSpec) -> Pixels:
    """The picture that a network of this card takes its input [h, w, 3] for, as RGB uint8."""
    card = card_normalization(spec)
    levels = numbers * np.array(card.std, np.float32) + np.array(card.mean, np.float32)
    picture: Pixels = np.rint(levels.clip(0, 255)).astype(np.uint8)
    return picture[..., ::-1] if spec.color_order == "bgr" else picture


def difference(one: Tensor, other: Tensor, spec: ImageSpec) -> Difference:
    """Compare network inputs [h, w, 3] of any two sizes."""
    height, width = (max(sides) for sides in zip(one.shape[:2], other.shape[:2], strict=True))
    levels = np.abs(_canvas(one, height, width) - _canvas(other, height, width))
    levels *= np.array(card_normalization(spec).std, np.float32)
    return Difference(levels, float(levels.max()), float(levels.mean(dtype=np.float64)))


def _canvas(numbers: Tensor, height: int, width: int) -> Tensor:
    canvas = np.zeros((height, width, 3), np.float32)
    canvas[: numbers.shape[0], : numbers.shape[1]] = numbers
    return canvas


def explain(photo: Photo, recipe: Recipe, spec: ImageSpec) -> list[Cause]:
    """The steps that make a recipe differ from the card's rule on this photo, the heaviest first.

    Each is measured by taking that step alone into the card's rule, so a step that changes nothing here is left out.
    """
    rule = card_recipe(spec)
    expected = network_input(prepare(photo, rule, spec), rule)
    causes = []
    for changed in departures(recipe, rule):
        alone = replace(rule, **{changed: getattr(recipe, changed)})
        effect = difference(network_input(prepare(photo, alone, spec), alone), expected, spec)
        if effect.largest > 0:
            found, card = (describe(each, changed) for each in (recipe, rule))
            causes.append(Cause(step_name(changed, recipe, rule), found, card, effect.largest, effect.mean))
    return sorted(causes, key=lambda cause: -cause.mean)


def departures(recipe: Recipe, rule: Recipe) -> Iterator[str]:
    """The fields in which two recipes differ."""
    return (each.name for each in fields(Recipe) if getattr(recipe, each.name) != getattr(rule, each.name))


def step_name(field: str, recipe: Recipe, rule: Recipe) -> str:
    """What people call the step."""
    if field == "resampling":
        found, expected = RESAMPLINGS[recipe.resampling], RESAMPLINGS[rule.resampling]
        if found.kernel != expected.kernel:
            return "interpolation"
        return "rounding" if found.antialias == expected.antialias else "antialias"
    return {
        "reader": "reader",
        "orientation": "EXIF",
        "color_order": "channel order",
        "normalization": "mean/std",
        "value_factor": "value range",
    }[field]


def describe(recipe: Recipe, field: str) -> str:
    """A step in words."""
    if field == "orientation":
        return "applied" if recipe.orientation == "upright" else "ignored"
    if field == "color_order":
        return recipe.color_order.upper()
    if field == "resampling":
        return RESAMPLINGS[recipe.resampling].call
    if field == "normalization":
        return recipe.normalization.name
    if field == "value_factor":
        return "as mean and std expect" if recipe.value_factor == 1 else _value_range(recipe)
    return recipe.reader


def _value_range(recipe: Recipe) -> str:
    return "0..1, meant 0..255" if recipe.value_factor < 1 else "0..255, meant 0..1"
