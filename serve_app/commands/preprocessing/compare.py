"""The same photo by the card's rule and by the usual ways: numbers, answers, and what explains them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deployments.models.model import Model
from serve_app.commands.preprocessing.answers import AnswerChange, Found, answer, compare_answers, turn_upright, under
from serve_app.commands.preprocessing.normalizations import altered_spec
from serve_app.commands.preprocessing.photo import CannotRead, Photo, Pixels
from serve_app.commands.preprocessing.recipe import (
    Cause,
    Difference,
    Recipe,
    card_recipe,
    difference,
    explain,
    network_input,
    prepare,
    seen,
)
from serve_app.commands.preprocessing.ways import Way, usual_ways


@dataclass(frozen=True)
class Outcome:
    """What one way does to one photo."""

    way: Way
    seen: Pixels
    """What the network takes the photo for, RGB uint8 [h, w, 3]."""
    difference: Difference
    """From the card's rule."""
    causes: list[Cause]
    """The steps that explain the difference, the heaviest first."""
    answer: Sequence[Found]
    """In pixels of the upright photo."""
    change: AnswerChange


@dataclass(frozen=True)
class Unreadable:
    """A way whose library does not read the photo."""

    way: Way
    reason: str


@dataclass(frozen=True)
class Comparison:
    """Of one photo, for one card."""

    seen: Pixels
    """By the card's rule, RGB uint8 [h, w, 3]."""
    resized: bool
    """Whether the card's rule changes this photo's size; else no way to resize can differ."""
    answer: Sequence[Found]
    outcomes: list[Outcome]
    unreadable: list[Unreadable]


def compare(photo: Photo, model: Model[Any, Any]) -> Comparison:
    """Take a photo through every usual way, to the model's answer."""
    spec = model.card.image
    rule = card_recipe(spec)
    prepared = prepare(photo, rule, spec)
    expected = _answer(photo, model, rule, prepared)
    result = Comparison(
        seen(network_input(prepared, rule), spec), prepared.shape != photo.served.shape, expected, [], []
    )
    for way in usual_ways(spec, photo.is_turned):
        try:
            result.outcomes.append(_outcome(photo, model, way, expected))
        except CannotRead as error:
            result.unreadable.append(Unreadable(way, str(error)))
    return result


def _outcome(photo: Photo, model: Model[Any, Any], way: Way, expected: Sequence[Found]) -> Outcome:
    spec = model.card.image
    rule = card_recipe(spec)
    prepared = prepare(photo, way.recipe, spec)
    numbers = network_input(prepared, way.recipe)
    found = _answer(photo, model, way.recipe, prepared)
    return Outcome(
        way,
        seen(numbers, spec),
        difference(numbers, network_input(prepare(photo, rule, spec), rule), spec),
        explain(photo, way.recipe, spec),
        found,
        compare_answers(expected, found),
    )


def _answer(photo: Photo, model: Model[Any, Any], recipe: Recipe, prepared: Pixels) -> Sequence[Found]:
    height, width = photo.pixels("maskgraph", recipe.orientation).shape[:2]
    found = answer(under(model, altered_spec(model.card.image, recipe)), prepared, height, width)
    if recipe.orientation == "upright":
        return found
    return turn_upright(found, photo.orientation, *photo.served.shape[:2])
