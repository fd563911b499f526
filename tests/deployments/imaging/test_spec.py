from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from deployments.imaging.spec import ImageSpec

CARD = """
color_order: bgr
resize: {rule: keep_ratio, short_side: 800, long_side: 1333}
interpolation: opencv_bilinear
pad_multiple: 32
mean: [103.53, 116.28, 123.675]
std: [57, 58.0, 57.375]
"""
RULES: list[dict[str, Any]] = [
    {"rule": "keep_ratio", "short_side": 800, "long_side": 1333},
    {"rule": "max_side", "long_side": 640},
    {"rule": "fixed", "height": 300, "width": 500},
    {"rule": "shrink", "factor": 0.3},
    {"rule": "keep_ratio", "short_side": 800, "long_side": 1333, "rounding": "down"},
]


def spec(**changes: Any) -> ImageSpec:
    return ImageSpec.model_validate(yaml.safe_load(CARD) | changes)


def test_reads_yaml_and_survives_a_round_trip() -> None:
    read = spec()
    assert read.mean == (103.53, 116.28, 123.675)
    assert read.std == (57.0, 58.0, 57.375)
    assert read.scale == 1.0
    assert ImageSpec.model_validate(yaml.safe_load(yaml.safe_dump(read.model_dump(mode="json")))) == read


@pytest.mark.parametrize(
    ("rule", "size", "expected"),
    [
        (RULES[0], (1050, 1682), (800, 1282)),
        (RULES[0], (480, 640), (800, 1067)),
        (RULES[0], (500, 2000), (333, 1333)),
        (RULES[0], (1, 100_000), (1, 1333)),
        (RULES[1], (1050, 1682), (400, 640)),
        (RULES[1], (640, 480), (640, 480)),
        (RULES[1], (10, 10), (10, 10)),
        (RULES[1], (100_000, 3), (640, 1)),
        (RULES[2], (7, 9), (300, 500)),
        (RULES[3], (1050, 1682), (315, 504)),
        (RULES[3], (1, 2), (1, 1)),
        (RULES[4], (480, 640), (800, 1066)),
        (RULES[4], (1, 100_000), (1, 1333)),
    ],
)
def test_resized_size(rule: dict[str, Any], size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert spec(resize=rule).resized_size(*size) == expected


@given(st.sampled_from(RULES), st.integers(1, 100_000), st.integers(1, 100_000), st.integers(1, 128))
def test_sizes_are_positive_and_padding_is_least(rule: dict[str, Any], height: int, width: int, multiple: int) -> None:
    chosen = spec(resize=rule, pad_multiple=multiple)
    resized = chosen.resized_size(height, width)
    for side, padded in zip(resized, chosen.padded_size(*resized), strict=True):
        assert side >= 1
        assert padded % multiple == 0
        assert 0 <= padded - side < multiple


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"colour_order": "rgb"}, "colour_order"),
        ({"color_order": "grb"}, "color_order"),
        ({"interpolation": "bicubic"}, "interpolation"),
        ({"pad_multiple": 0}, "pad_multiple"),
        ({"pad_multiple": "32"}, "pad_multiple"),
        ({"mean": [1.0, 2.0]}, "mean"),
        ({"mean": [1.0, 2.0, "3"]}, "mean"),
        ({"mean": [1.0, 2.0, float("nan")]}, "mean"),
        ({"std": [1.0, 0.0, 1.0]}, "std"),
        ({"scale": float("inf")}, "scale"),
        ({"resize": {"rule": "stretch"}}, "resize"),
        ({"resize": {"rule": "fixed", "height": 3}}, "width"),
        ({"resize": {"rule": "fixed", "height": 3, "width": 4, "depth": 5}}, "depth"),
        ({"resize": {"rule": "shrink", "factor": 1.5}}, "factor"),
        ({"resize": {"rule": "shrink", "factor": 0.0}}, "factor"),
    ],
)
def test_refuses_and_names_the_place(changes: dict[str, Any], place: str) -> None:
    with pytest.raises(ValidationError) as refused:
        spec(**changes)
    assert any(place in error["loc"] for error in refused.value.errors())


def test_is_frozen() -> None:
    with pytest.raises(ValidationError):
        spec().pad_multiple = 1  # type: ignore[misc]
