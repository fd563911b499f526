"""Precision, recall and the area under their curve."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TIMED = 40
"""Pictures of a set that are timed."""
BINS = 10


@dataclass(frozen=True)
class Curve:
    """A precision-recall curve; recall and precision are float [K], in order of falling score."""

    name: str
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    average_precision: float


@dataclass(frozen=True)
class Reliability:
    """How often answers of a score are right; scores: float [K], from 0 to 1; right: bool [K]."""

    name: str
    scores: NDArray[np.float64]
    right: NDArray[np.bool_]

    def bins(self) -> list[tuple[float, float, int]]:
        """Of each tenth of the scores that has any: their mean, the share that is right, and their number."""
        which = np.minimum((self.scores * BINS).astype(int), BINS - 1)
        parts = [which == k for k in range(BINS)]
        return [
            (float(self.scores[part].mean()), float(self.right[part].mean()), int(part.sum()))
            for part in parts
            if part.any()
        ]

    @property
    def calibration_error(self) -> float:
        """Expected calibration error (Guo et al., ICML 2017): how far a score is from the share that is right."""
        return sum(abs(score - right) * count for score, right, count in self.bins()) / max(len(self.scores), 1)


@dataclass(frozen=True)
class Measured:
    """What one model reaches on one set, and the milliseconds that a photo takes it with the card's thresholds."""

    metrics: dict[str, float]
    curves: list[Curve]
    milliseconds: float
    confusion: dict[str, dict[str, int]]
    """Label in the set -> answer -> number; empty where it makes no sense."""
    reliability: Reliability


def precision_recall(name: str, scores: list[float], correct: list[bool], truths: int) -> Curve:
    """The curve of detections in any order, precision made monotonic, and the area under all its points."""
    order = np.argsort(-np.array(scores), kind="stable")
    hits = np.array(correct, bool)[order]
    recall = np.cumsum(hits) / max(truths, 1)
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    area = float(np.sum(np.diff(recall, prepend=0.0) * precision))
    return Curve(name, recall, precision, area)


def draw_curves(curves: list[Curve], reliabilities: list[Reliability], title: str, target: Path) -> None:
    """Write precision-recall curves, and beside them how often answers of a score are right, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    for curve in curves:
        left.step(
            curve.recall, curve.precision, where="post", label=f"{curve.name} (AP50 {curve.average_precision:.3f})"
        )
    left.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision", title=title)
    left.legend(loc="lower left")
    right.plot([0, 1], [0, 1], color="grey", linestyle="dotted")
    for reliability in reliabilities:
        scores, shares, _ = zip(*reliability.bins(), strict=True)
        name = f"{reliability.name} (calibration error {reliability.calibration_error:.3f})"
        right.plot(scores, shares, marker="o", label=name)
    right.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="score", ylabel="share that is right", title="reliability")
    right.legend(loc="upper left", fontsize="small")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(target, dpi=100)
