"""The result of compare.py as tables and as a picture."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from rich.table import Table

from benchmarks.result import Entrant, Level, Measurement

FLOOR = "floor"
LARGE_MB = 60
"""Processes below this peak share a row."""


def level_name(level: Level) -> str:
    """Such as ``4 clients`` or ``80 %``."""
    return f"{level.clients} clients" if level.clients is not None else f"{100 * (level.share or 0):.0f} %"


def load_table(rows: Sequence[Measurement]) -> Table:
    """What the clients saw, a row a contender and load, with the ratio to the floor under the same load."""
    latencies = ("p50 ms", "p95", "p99")
    costs = ("CPU ms", "page faults", "generator CPU ms", "others %")
    table = Table("photos", "load", "contender", "answers/s", "of floor", *latencies, "errors", *costs)
    floors = {row.level: row.per_second for row in rows if row.contender == FLOOR}
    for level in dict.fromkeys(row.level for row in rows):
        for row in (row for row in rows if row.level == level):
            floor = floors.get(level)
            table.add_row(
                level.photos,
                level_name(level),
                row.contender,
                f"{row.per_second:.2f}",
                f"{row.per_second / floor:.2f}" if floor else "",
                *(f"{value:.0f}" for value in (row.p50_ms, row.p95_ms, row.p99_ms)),
                ", ".join(f"{count} x {kind}" for kind, count in row.errors.items()) or "0",
                f"{row.cpu_ms:.0f}",
                f"{row.page_faults:.0f}",
                f"{row.generator_cpu_ms:.1f}",
                f"{100 * row.others_share:.0f}",
            )
        table.add_section()
    return table


def memory_table(entrants: Sequence[Entrant]) -> Table:
    """Time to ready and memory, a row a contender and one for each of its larger processes."""
    table = Table("contender", "ready s", "process", "idle PSS MiB", "peak PSS MiB")
    for entrant in entrants:
        sums = f"{entrant.idle_sum_mb:.0f}", f"{entrant.peak_sum_mb:.0f}"
        table.add_row(entrant.name, f"{entrant.ready_s:.1f}", "all", *sums)
        large = {pid: peak for pid, peak in entrant.peak.items() if peak.pss_mb >= LARGE_MB}
        for pid, peak in sorted(large.items(), key=lambda item: -item[1].pss_mb):
            idle = entrant.idle.get(pid)
            table.add_row("", "", peak.title, f"{idle.pss_mb:.0f}" if idle else "", f"{peak.pss_mb:.0f}")
        if small := [peak for pid, peak in entrant.peak.items() if pid not in large]:
            idle_mb = sum(memory.pss_mb for pid, memory in entrant.idle.items() if pid not in large)
            table.add_row("", "", f"{len(small)} others", f"{idle_mb:.0f}", f"{sum(peak.pss_mb for peak in small):.0f}")
        table.add_section()
    return table


def draw(rows: Sequence[Measurement], entrants: Sequence[Entrant], file: Path) -> None:
    """Answers a second, latency and cost against clients; latency against arrivals; memory."""
    names = [entrant.name for entrant in entrants]
    colours = {name: f"C{number}" for number, name in enumerate(names)}
    photos = next((row.level.photos for row in rows), "")
    closed = [row for row in rows if row.level.clients is not None and row.level.photos == photos]
    opened = [row for row in rows if row.level.share is not None and row.level.photos == photos]
    figure, axes = pyplot.subplots(2, 3, figsize=(15, 8), layout="constrained")
    panels: tuple[tuple[Axes, str, str], ...] = (
        (axes[0, 0], "per_second", "answers a second"),
        (axes[0, 1], "p50_ms", "median latency, ms"),
        (axes[0, 2], "p99_ms", "99th percentile of latency, ms"),
        (axes[1, 0], "cpu_ms", "CPU a photo, ms"),
    )
    for panel, field, title in panels:
        for name in names:
            points = sorted((row.level.clients or 0, getattr(row, field)) for row in closed if row.contender == name)
            panel.plot(*zip(*points, strict=True), marker="o", color=colours[name], label=name) if points else None
        panel.set(title=title, xlabel="clients (closed loop)", xscale="log")
        if "latency" in title:
            panel.set_yscale("log")
        else:
            panel.set_ylim(0)
        panel.set_xticks(ticks := sorted({row.level.clients or 0 for row in closed}), [str(tick) for tick in ticks])
        panel.minorticks_off()
    axes[0, 0].legend()
    for name in names:
        percents = sorted((100 * (row.level.share or 0), row.p99_ms) for row in opened if row.contender == name)
        axes[1, 1].plot(*zip(*percents, strict=True), marker="o", color=colours[name]) if percents else None
    axes[1, 1].set(title="99th percentile of latency, ms (open loop)", xlabel="arrivals, % of its own capacity")
    axes[1, 1].set_yscale("log" if opened else "linear")
    bars = range(len(names))
    axes[1, 2].bar(bars, [entrant.peak_sum_mb for entrant in entrants], color=[colours[name] for name in names])
    axes[1, 2].bar(bars, [entrant.idle_sum_mb for entrant in entrants], color="#0006", width=0.5)
    axes[1, 2].set(title="PSS of all processes, MiB: peak, and idle inside")
    axes[1, 2].set_xticks(bars, names, rotation=20)
    figure.savefig(file, dpi=80)
    pyplot.close(figure)
