"""When a curve of costs counts as rising faster than in proportion."""

import pytest

from benchmarks.cost import role
from benchmarks.growth import Curve, Point


def curve(*costs: float) -> Curve:
    return Curve("x", [Point(x, cost, 0.0, 0.0, 0) for x, cost in enumerate(costs)])


def test_a_line_with_an_offset_is_in_proportion() -> None:
    assert curve(100, 110, 120, 130, 140).over_line == pytest.approx(1)


def test_a_parabola_is_above_the_line_and_a_root_below() -> None:
    assert curve(0.1, 1, 4, 9, 16).over_line > 1.9
    assert curve(10, 14, 16, 17, 17.5).over_line < 1


def test_what_falls_at_first_and_rises_then_is_not_excused() -> None:
    assert curve(100, 90, 80, 90, 150).over_line == pytest.approx(1.5)


def test_two_points_are_compared_with_each_other() -> None:
    assert curve(100, 103).over_line == pytest.approx(1.03)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("ray::ServeReplica:maskgraph:MaskDetection", "MaskDetection"),
        ("ray::ProxyActor", "proxy"),
        ("haproxy", "proxy"),
        ("raylet", "the rest"),
    ],
)
def test_the_role_of_a_process(title: str, expected: str) -> None:
    assert role(title) == expected
