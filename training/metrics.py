"""Precision, recall and the area under their curve."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TIMED = 40
"""Pictures of a set that are timed."""


@dataclass(frozen=True)
class Curve:
    """A precision-recall curve; recall and precision are float [K], in order of falling score."""

    name: str
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    average_precision: float


@dataclass(frozen=True)
class Measured:
    """What one model reaches on one set, and the milliseconds that a photo takes it with the card's thresholds."""

    metrics: dict[str, float]
    curves: list[Curve]
    milliseconds: float
    confusion: dict[str, dict[str, int]]
    """Label in the set -> answer -> number; empty where it makes no sense."""


def precision_recall(name: str, scores: list[float], correct: list[bool], truths: int) -> Curve:
    """The curve of detections in any order, precision made monotonic, and the area under all its points."""
    order = np.argsort(-np.array(scores), kind="stable")
    hits = np.array(correct, bool)[order]
    recall = np.cumsum(hits) / max(truths, 1)
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    area = float(np.sum(np.diff(recall, prepend=0.0) * precision))
    return Curve(name, recall, precision, area)


def draw_curves(curves: list[Curve], title: str, target: Path) -> None:
    """Write curves as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, 4.0), layout="constrained")
    axes = figure.subplots()
    for curve in curves:
        axes.step(
            curve.recall, curve.precision, where="post", label=f"{curve.name} (AP50 {curve.average_precision:.3f})"
        )
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision", title=title)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    figure.savefig(target, dpi=110)
