"""Rows of a comparison, from what the generator and /proc saw."""

from collections import Counter

import pytest

from benchmarks.loadgen import Load
from benchmarks.measure import Level, over_rounds, reduce
from benchmarks.processes import Used

LEVEL = Level("one size", clients=4)


def row(answers: int, contender: str = "service", errors: dict[str, int] | None = None):  # type: ignore[no-untyped-def]
    load = Load([0.5] * answers, Counter(errors or {}), seconds=10.0, sent=20, generator_cpu_s=0.02)
    return reduce(contender, LEVEL, load, Used(cpu_s=2.0, page_faults=400), others_share=0.02)


def test_costs_are_a_request_and_times_in_milliseconds() -> None:
    result = row(15)
    assert result.per_second == 1.5
    assert (result.p50_ms, result.p95_ms, result.p99_ms) == (500, 500, 500)
    assert result.cpu_ms == pytest.approx(100)
    assert result.page_faults == 20
    assert result.generator_cpu_ms == pytest.approx(1)


def test_rounds_are_joined_by_their_median_and_errors_add_up() -> None:
    rows = [row(10, errors={"503 text/plain": 1}), row(12), row(50, errors={"503 text/plain": 2}), row(7, "floor")]
    service, floor = over_rounds(rows)
    assert (service.contender, service.per_second, service.answers) == ("service", 1.2, 72)
    assert service.errors == {"503 text/plain": 3}
    assert (floor.contender, floor.per_second) == ("floor", 0.7)
