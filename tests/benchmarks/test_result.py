"""Rows of a comparison, from what the generator and /proc saw, over rounds and runs."""

import math
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.measure import reduce
from benchmarks.processes import Memory, Used
from benchmarks.report import draw, load_table, memory_table
from benchmarks.result import Entrant, Level, Measurement, Result, read, write
from serve_app.commands.bench.loadgen import Load

LEVEL = Level("one size", clients=4)


def row(
    answers: int, contender: str = "service", errors: dict[str, int] | None = None, level: Level = LEVEL
) -> Measurement:
    load = Load([0.5] * answers, Counter(errors or {}), seconds=10.0, sent=20, generator_cpu_s=0.02)
    return reduce(contender, level, load, Used(cpu_s=2.0, page_faults=400), others_share=0.02)


def entrant(name: str, ready_s: float = 1.0) -> Entrant:
    return Entrant(name, f"run {name}", ready_s, 300.0, 700.0, {7: Memory("main", 300.0)}, {7: Memory("main", 700.0)})


def result(*rows: Measurement, ready_s: float = 1.0) -> Result:
    names = dict.fromkeys(each.contender for each in rows)
    entrants = [entrant(name, ready_s) for name in names]
    return Result("2 cores", "float32", "2026-01-01T00:00:00+00:00", entrants, list(rows))


def test_costs_are_a_request_and_times_in_milliseconds() -> None:
    seen = row(15)
    assert seen.per_second == 1.5
    assert (seen.p50_ms, seen.p95_ms, seen.p99_ms) == (500, 500, 500)
    assert seen.cpu_ms == pytest.approx(100)
    assert seen.page_faults == 20
    assert seen.generator_cpu_ms == pytest.approx(1)


def test_rounds_are_joined_by_their_median_and_errors_add_up() -> None:
    rows = [row(10, errors={"503 text/plain": 1}), row(12), row(50, errors={"503 text/plain": 2}), row(7, "floor")]
    service, floor = result(*rows).rows()
    assert (service.contender, service.per_second, service.answers) == ("service", 1.2, 72)
    assert service.errors == {"503 text/plain": 3}
    assert (floor.contender, floor.per_second) == ("floor", 0.7)


def test_a_result_comes_back_from_json_and_takes_another_runs(tmp_path: Path) -> None:
    first = result(row(10), row(20, level=Level("one size", share=0.8)))
    write(first, tmp_path / "compare.json")
    kept = read(tmp_path / "compare.json")
    assert kept == first
    kept.add(result(row(30), row(5, "floor"), ready_s=2.0))
    assert [(each.name, each.ready_s) for each in kept.entrants] == [("service", 2.0), ("floor", 2.0)]
    assert [(each.contender, each.level.clients, each.answers) for each in kept.rows()] == [
        ("service", 4, 40),
        ("floor", 4, 5),
        ("service", None, 20),
    ]
    with pytest.raises(ValueError, match="in bfloat16 is not comparable"):
        kept.add(Result("2 cores", "bfloat16", "2026-01-01T00:00:00+00:00"))


def test_a_load_without_answers_comes_back_from_json_too(tmp_path: Path) -> None:
    write(result(row(0, errors={"TimeoutError": 20})), tmp_path / "compare.json")
    (kept,) = read(tmp_path / "compare.json").measurements
    assert math.isnan(kept.p99_ms)


def test_tables_and_picture_hold_every_contender(tmp_path: Path) -> None:
    whole = result(row(10), row(12, "floor"), row(9, level=Level("one size", share=0.5)))
    ratios = [cell for cell in load_table(whole.rows()).columns[4].cells if cell]
    assert ratios == ["0.83", "1.00"]
    assert list(memory_table(whole.entrants).columns[4].cells) == ["700", "700"] * 2
    draw(whole.rows(), whole.entrants, tmp_path / "compare.png")
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")
