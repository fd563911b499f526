"""What compare.py finds out, as values that JSON keeps."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from pydantic import TypeAdapter

from benchmarks.processes import Memory


@dataclass(frozen=True)
class Level:
    """How hard to ask."""

    photos: str
    """Name of the set of photos."""
    clients: int | None = None
    """Of a closed loop."""
    share: float | None = None
    """Of an open loop: arrivals over the contender's own capacity."""


@dataclass(frozen=True)
class Measurement:
    """One contender under one load for some seconds."""

    contender: str
    level: Level
    per_second: float
    """Good answers; of an open loop, until the last is there."""
    p50_ms: float
    p95_ms: float
    p99_ms: float
    answers: int
    errors: dict[str, int]
    cpu_ms: float
    """Of all of the contender's processes, a request."""
    page_faults: float
    """The same."""
    generator_cpu_ms: float
    """Of the load generator, a request."""
    others_share: float
    """Of the machine's cores, what others than the contender and the generator used: 0 on an idle machine."""


@dataclass(frozen=True)
class Entrant:
    """A contender that took part."""

    name: str
    command: str
    ready_s: float
    idle_sum_mb: float
    """PSS in MiB of all its processes before any load."""
    peak_sum_mb: float
    """The highest sum of one moment."""
    idle: dict[int, Memory]
    """By PID."""
    peak: dict[int, Memory]
    """The highest of each process that was seen."""


@dataclass
class Result:
    """Of one run, or of several that were added up."""

    machine: str
    precision: str
    at: str
    """When it began, in UTC."""
    entrants: list[Entrant] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    """Why a contender did not take part."""

    def add(self, other: "Result") -> None:
        """Take over another run's measurements; its entrants replace those of the same name.

        Raises ValueError for a run on another machine or in another precision.
        """
        mine, others = (f"{each.machine} in {each.precision}" for each in (self, other))
        if mine != others:
            raise ValueError(f"{others} is not comparable with {mine}")
        again = {entrant.name for entrant in other.entrants}
        self.entrants = [each for each in self.entrants if each.name not in again] + other.entrants
        self.measurements += other.measurements
        self.skipped |= other.skipped

    def rows(self) -> list[Measurement]:
        """One for each level and contender, in order of load: medians of the rounds; answers and errors in sum."""
        groups: dict[tuple[Level, str], list[Measurement]] = {}
        for row in self.measurements:
            groups.setdefault((row.level, row.contender), []).append(row)
        order = {entrant.name: number for number, entrant in enumerate(self.entrants)}
        rows = [joined(group) for group in groups.values()]
        return sorted(
            rows,
            key=lambda row: (
                row.level.photos,
                row.level.share or 0,
                row.level.clients or 0,
                order.get(row.contender, len(order)),
            ),
        )


def read(file: Path) -> Result:
    """From JSON."""
    return TypeAdapter(Result).validate_python(json.loads(file.read_text(encoding="utf-8")))


def write(result: Result, file: Path) -> None:
    """As JSON, by the standard library: a load without any answer has latencies that are NaN."""
    file.write_text(json.dumps(asdict(result), indent=1), encoding="utf-8")


def joined(rounds: Sequence[Measurement]) -> Measurement:
    """The rounds of one contender and level."""
    errors: dict[str, int] = {}
    for row in rounds:
        for kind, count in row.errors.items():
            errors[kind] = errors.get(kind, 0) + count
    return Measurement(
        rounds[0].contender,
        rounds[0].level,
        per_second=median(row.per_second for row in rounds),
        p50_ms=median(row.p50_ms for row in rounds),
        p95_ms=median(row.p95_ms for row in rounds),
        p99_ms=median(row.p99_ms for row in rounds),
        answers=sum(row.answers for row in rounds),
        errors=errors,
        cpu_ms=median(row.cpu_ms for row in rounds),
        page_faults=median(row.page_faults for row in rounds),
        generator_cpu_ms=median(row.generator_cpu_ms for row in rounds),
        others_share=max(row.others_share for row in rounds),
    )
