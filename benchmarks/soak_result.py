"""What a soak showed, as a table and as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import matplotlib
import numpy as np

matplotlib.use("Agg")

from matplotlib import pyplot
from rich.table import Table

WARM = 0.15
"""Share of a run that is not counted: buffers reach their size, networks meet their shapes."""
LARGE_MB = 100
"""Processes below this share a line of the picture."""


@dataclass(frozen=True)
class Sample:
    """What all processes of the service held at one moment, and what clients saw since the one before."""

    minutes: float
    """Since the load began."""
    pss_mb: float
    """Memory that several share counts once."""
    rss_mb: dict[str, float]
    """By what a process runs."""
    descriptors: int
    threads: int
    answers: int
    errors: int
    p50_ms: float
    p99_ms: float


def warm(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Those that count."""
    begin = WARM * samples[-1].minutes
    return [each for each in samples if each.minutes >= begin]


def slope(minutes: Sequence[float], values: Sequence[float]) -> float:
    """Growth a minute, by least squares; NaN of fewer than two moments."""
    return float(np.polyfit(minutes, values, 1)[0]) if len(set(minutes)) > 1 else float("nan")


def drift(values: Sequence[float]) -> float:
    """By what share the last third's median is above the first third's."""
    third = max(1, len(values) // 3)
    return median(values[-third:]) / median(values[:third]) - 1


def table(samples: Sequence[Sample]) -> Table:
    """Slopes and drifts after the warm-up."""
    counted = warm(samples)
    minutes = [each.minutes for each in counted]
    made = Table("measure", "first", "last", "a minute")
    rows = {"PSS, MB": [each.pss_mb for each in counted]}
    for name in sorted(counted[-1].rss_mb):
        values = [each.rss_mb.get(name, 0.0) for each in counted]
        if max(values) >= LARGE_MB:
            rows[f"RSS of {name}, MB"] = values
    rows["descriptors"] = [each.descriptors for each in counted]
    rows["threads"] = [each.threads for each in counted]
    for name, values in rows.items():
        made.add_row(name, f"{values[0]:.0f}", f"{values[-1]:.0f}", f"{slope(minutes, values):+.2f}")
    made.add_section()
    for name, values in {"p50, ms": [s.p50_ms for s in counted], "p99, ms": [s.p99_ms for s in counted]}.items():
        made.add_row(name, f"{values[0]:.0f}", f"{values[-1]:.0f}", f"{100 * drift(values):+.0f} % by the last third")
    total = f"{sum(each.answers for each in samples)} answers, {sum(each.errors for each in samples)} errors"
    made.add_row("in all", total, f"{samples[-1].minutes:.1f} min", "")
    return made


def drawn(samples: Sequence[Sample], file: Path) -> None:
    """Memory, descriptors and threads, latency, over the minutes."""
    figure, (memory, counts, latency) = pyplot.subplots(3, figsize=(9, 9), sharex=True)
    minutes = [each.minutes for each in samples]
    memory.plot(minutes, [each.pss_mb for each in samples], "k", label="PSS of all")
    for name in sorted(samples[-1].rss_mb):
        values = [each.rss_mb.get(name, 0.0) for each in samples]
        if max(values) >= LARGE_MB:
            memory.plot(minutes, values, linewidth=1, label=f"RSS {name}")
    memory.set_ylabel("MB")
    counts.plot(minutes, [each.descriptors for each in samples], label="descriptors")
    counts.plot(minutes, [each.threads for each in samples], label="threads")
    latency.plot(minutes, [each.p50_ms for each in samples], label="p50")
    latency.plot(minutes, [each.p99_ms for each in samples], label="p99")
    latency.set_ylabel("ms")
    latency.set_xlabel("minutes of load")
    for axes in (memory, counts, latency):
        axes.set_ylim(bottom=0)
        axes.axvline(WARM * minutes[-1], color="grey", linewidth=0.5)
        axes.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(file, dpi=100, bbox_inches="tight")
    pyplot.close(figure)
