"""How replicas follow the load: ``python -m benchmarks.autoscaling --picture docs/autoscaling.png``.

Simulates a branch on a day, a spike and a sawtooth for 1 to 200 GPUs, under three policies: ours
(``deployments.autoscaling.by_work``), Serve's own with its default settings, and a fixed number that carries the peak.
Prints GPU-hours and the 99th percentile of the time to an answer; nothing here needs a GPU or Ray's runtime.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.autoscaling_model import Branch, Policy, Run, fixed, ours, simulate, theirs

STEP_S = 0.5
IMAGES_PER_GPU_S = 100.0
"""What one replica answers a second at most."""
GPUS = (1, 10, 50, 200)
"""At the peak of each trace."""

Trace = Callable[[], NDArray[np.float64]]


def day() -> NDArray[np.float64]:
    """24 hours from the quietest to the busiest and back, a fifth to all of the peak, with a noon dip."""
    hours = np.arange(0, 24, STEP_S / 3600)
    wave = 0.6 - 0.4 * np.cos(2 * np.pi * (hours - 4) / 24) - 0.1 * np.exp(-(((hours - 13) / 1.0) ** 2))
    return np.clip(wave, 0, 1)


def spike() -> NDArray[np.float64]:
    """An hour at a fifth of the peak, with ten minutes at the peak that begin within five seconds."""
    seconds = np.arange(0, 3600, STEP_S)
    inside = np.clip((seconds - 1200) / 5, 0, 1) * np.clip((1805 - seconds) / 5, 0, 1)
    return 0.2 + 0.8 * inside


def sawtooth() -> NDArray[np.float64]:
    """Two hours of ramps of ten minutes from a tenth to the peak, each followed by a fall at once."""
    seconds = np.arange(0, 7200, STEP_S)
    return 0.1 + 0.9 * (seconds % 600) / 600


TRACES: dict[str, Trace] = {"day": day, "spike": spike, "sawtooth": sawtooth}


@dataclass(frozen=True)
class Row:
    """One simulated run and what it was of."""

    trace: str
    gpus: int
    policy: str
    run: Run


def rows() -> list[Row]:
    """Every trace, size and policy."""
    made = []
    for name, trace in TRACES.items():
        shape = trace()
        for gpus in GPUS:
            branch = Branch(1 / IMAGES_PER_GPU_S, start_s=40.0, most=math.ceil(1.5 * gpus) + 1)
            load = shape * gpus * IMAGES_PER_GPU_S * 0.75
            policies: dict[str, Policy] = {"by_work": ours(), "Serve's default": theirs(), "fixed": fixed(gpus)}
            made += [Row(name, gpus, title, simulate(load, STEP_S, branch, each)) for title, each in policies.items()]
    return made


def print_table(made: list[Row]) -> None:
    """One line a run."""
    table = Table("trace", "GPUs at the peak", "policy", "GPU-hours", "p99 in s", "worst in s")
    for row in made:
        run = row.run
        table.add_row(
            row.trace, str(row.gpus), row.policy, f"{run.gpu_hours:.1f}", f"{run.p99_s:.2f}", f"{run.worst_s:.1f}"
        )
    Console().print(table)


def draw(made: list[Row], path: Path, gpus: int = 10) -> None:
    """Replicas over time beside those that the load needs, a panel a trace."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(len(TRACES), 1, figsize=(9, 8), constrained_layout=True)
    for panel, name in zip(panels, TRACES, strict=True):
        for row in (row for row in made if row.trace == name and row.gpus == gpus):
            minutes = np.arange(len(row.run.replicas)) * STEP_S / 60
            if row.policy == "by_work":
                panel.fill_between(minutes, row.run.needed, color="0.88", label="needed")
            title = f"{row.policy}: {row.run.gpu_hours:.1f} GPU-hours, p99 {row.run.p99_s:.2f} s"
            panel.plot(minutes, row.run.replicas, label=title, linewidth=1.2)
        panel.set(title=name, xlabel="minutes", ylabel="replicas", ylim=(0, None))
        panel.legend(fontsize=8, loc="upper right")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Simulate, print, and draw where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    made = rows()
    print_table(made)
    if arguments.picture:
        draw(made, arguments.picture)


if __name__ == "__main__":
    main()
