"""What was found, in words, tables and JSON."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deployments.models.card import ModelCard
from serve_app.commands.preprocessing.advice import beyond_a_card, card_changes
from serve_app.commands.preprocessing.against import Finding
from serve_app.commands.preprocessing.answers import change_in_words, in_words
from serve_app.commands.preprocessing.compare import Comparison, Outcome
from serve_app.commands.preprocessing.fit import UNLISTED, Match
from serve_app.commands.preprocessing.recipe import (
    ROUNDING,
    Cause,
    Recipe,
    card_recipe,
    departures,
    describe,
    step_name,
)

FAR = 10.0
"""Mean grey levels above which the nearest recipe explains nothing."""


def explanation(causes: list[Cause]) -> str:
    """``channel order 17.4, antialias 4.1``: each step with the mean grey levels that it changes by itself."""
    heavy = [f"{cause.step} {_level(cause.mean)}" for cause in causes if cause.largest > ROUNDING]
    if heavy:
        return ", ".join(heavy)
    return "rounding" if causes else "as the card"


def _level(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def print_comparison(console: Console, name: str, card: ModelCard, comparison: Comparison) -> None:
    """A row for each way."""
    console.print(f"{escape(name)} by {card.identity}'s rule: {describe_rule(card_recipe(card.image))}")
    console.print(f"the model answers: {in_words(comparison.answer)}")
    table = Table("way", "largest", "mean", "explained by", "answer")
    for outcome in comparison.outcomes:
        difference = outcome.difference
        table.add_row(
            outcome.way.name,
            _level(difference.largest),
            _level(difference.mean),
            explanation(outcome.causes),
            change_in_words(outcome.change),
        )
    for way in comparison.unreadable:
        table.add_row(way.way.name, "", "", way.reason, "")
    console.print(table)
    console.print("largest, mean and the numbers of each step alone: grey levels of 0 to 255")
    if not comparison.resized:
        console.print("The card's rule leaves this photo's size as it is, so ways to resize cannot differ.")


def describe_rule(recipe: Recipe) -> str:
    """A recipe's steps."""
    parts = [f"EXIF {describe(recipe, 'orientation')}", *(describe(recipe, f) for f in ("color_order", "resampling"))]
    mean, std = (
        ", ".join(f"{value:g}" for value in values) for values in (recipe.normalization.mean, recipe.normalization.std)
    )
    return f"{', '.join(parts)}, mean ({mean}), std ({std})"


def print_finding(console: Console, file: Path, card: ModelCard, finding: Finding) -> None:
    """The verdict, the steps, and what to change."""
    best = finding.best
    console.print(f"{escape(str(file))}: {escape(finding.dump.kind)}")
    if not best.reproduces and best.mean > FAR:
        console.print(
            f"No known recipe comes near: the nearest is {best.mean:.0f} grey levels off on average. "
            "Is it the same photo, whole, without augmentation?"
        )
        return
    error = f"largest {best.largest:.2f}, mean {best.mean:.2f} grey levels off"
    if finding.agrees:
        console.print(f"The card's own rule reproduces it ({error}; {best.tolerance:.1f} is rounding).")
    elif best.reproduces:
        console.print(f"Reproduced ({error}; {best.tolerance:.1f} is rounding), but not by the card's rule:")
    else:
        console.print(f"No known recipe reproduces it; the nearest ({error}) departs from the card's rule in:")
    if not finding.agrees:
        _print_steps(console, card, finding)
    same = {step for other in finding.others for step in _other_steps(other, best)}
    if same:
        console.print(f"This photo cannot tell other choices apart in: {', '.join(sorted(same))}.")
    if finding.not_judged:
        console.print(f"Not judged: {'; '.join(finding.not_judged)}.")


def _print_steps(console: Console, card: ModelCard, finding: Finding) -> None:
    table = Table("step", "in the tensor", "by the card", "mean", "largest")
    for cause in finding.causes:
        if cause.largest > ROUNDING:
            table.add_row(cause.step, cause.found, cause.card, _level(cause.mean), _level(cause.largest))
    for placement in finding.placement:
        table.add_row(placement.step, placement.found, placement.card, "", "")
    console.print(table if table.row_count else "nothing: what is left, no step known here explains")
    if finding.best.recipe.normalization.name == UNLISTED:
        console.print(f"fitted: {describe_rule(finding.best.recipe)}")
    changes = card_changes(finding, card.image)
    if changes:
        console.print("To serve photos as they were trained on, change in the card:")
        console.print(escape(changes.rstrip()))
    for sentence in beyond_a_card(finding, card.image):
        console.print(escape(sentence))


def _other_steps(other: Match, best: Match) -> set[str]:
    steps = {step_name(field, other.recipe, best.recipe) for field in departures(other.recipe, best.recipe)}
    return steps - {"rounding"}


def comparison_json(card: ModelCard, comparison: Comparison) -> dict[str, Any]:
    """The table's numbers."""
    return {
        "card": card.identity,
        "answer": in_words(comparison.answer),
        "resized": comparison.resized,
        "ways": [_outcome_json(outcome) for outcome in comparison.outcomes],
        "unreadable": [{"way": each.way.name, "reason": each.reason} for each in comparison.unreadable],
    }


def _outcome_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "way": outcome.way.name,
        "largest": outcome.difference.largest,
        "mean": outcome.difference.mean,
        "causes": [asdict(cause) for cause in outcome.causes],
        "answer": in_words(outcome.answer),
        "change": asdict(outcome.change),
    }


def finding_json(card: ModelCard, finding: Finding) -> dict[str, Any]:
    """The verdict and its steps."""
    best = finding.best
    return {
        "card": card.identity,
        "tensor": finding.dump.kind,
        "reproduced": best.reproduces,
        "agrees_with_card": finding.agrees,
        "largest": best.largest,
        "mean": best.mean,
        "tolerance": best.tolerance,
        "recipe": asdict(best.recipe),
        "region": asdict(best.region),
        "causes": [asdict(cause) for cause in finding.causes],
        "placement": [asdict(placement) for placement in finding.placement],
        "not_judged": finding.not_judged,
    }
