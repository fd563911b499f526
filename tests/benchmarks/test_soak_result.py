from pathlib import Path

import pytest
from PIL import Image

from benchmarks.soak_result import Sample, drawn, drift, slope, table, warm


def growing(minute: int, mb_a_minute: float = 0.0) -> Sample:
    mb = 100 + 500 * (minute == 0) + mb_a_minute * minute
    return Sample(minute, mb, {"raylet": mb, "small": 1.0}, 50, 20, 10, minute % 2, 90.0, 100.0 + minute)


def test_the_warm_up_does_not_count() -> None:
    counted = warm([growing(minute) for minute in range(21)])
    assert [each.minutes for each in counted] == list(range(3, 21))


def test_slope_and_drift() -> None:
    assert slope([0, 1, 2, 4], [5, 5.5, 6, 7]) == pytest.approx(0.5)
    assert str(slope([1], [5])) == "nan"
    assert drift([100, 100, 100, 5, 110, 110, 110]) == pytest.approx(0.1)


def test_the_table_and_the_picture(tmp_path: Path) -> None:
    samples = [growing(minute, 0.25) for minute in range(21)]
    columns = [list(column.cells) for column in table(samples).columns]
    rows = dict(zip(columns[0], columns[3], strict=True))
    assert rows["PSS, MB"] == rows["RSS of raylet, MB"] == "+0.25"
    assert rows["threads"] == rows["descriptors"] in ("+0.00", "-0.00")
    assert "RSS of small, MB" not in rows
    assert rows["p99, ms"] == "+11 % by the last third"
    assert "210 answers, 10 errors" in columns[1]
    drawn(samples, tmp_path / "soak.png")
    assert Image.open(tmp_path / "soak.png").width > 500
