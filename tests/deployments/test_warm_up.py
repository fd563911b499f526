import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.imaging.spec import ImageSpec
from deployments.models.card import card_path, read_card
from deployments.warm_up import LARGEST_RATIO, expected_pictures

SMALL = read_card(card_path("solov2_people")).image
LARGE = read_card(card_path("configs/models/solov2_r50_fpn_3x_coco.yaml")).image


def shape_of(spec: ImageSpec, height: int, width: int) -> tuple[int, int]:
    return spec.padded_size(*spec.resized_size(height, width))


def expected_shapes(spec: ImageSpec) -> list[tuple[int, int]]:
    return [shape_of(spec, *size) for size in expected_pictures(lambda height, width: shape_of(spec, height, width))]


def test_common_photos_come_first() -> None:
    assert expected_shapes(LARGE)[:7] == [
        *((800, 1088), (1088, 800)),
        *((800, 1216), (1216, 800)),
        *((768, 1344), (1344, 768)),
        (800, 800),
    ]


@pytest.mark.parametrize(("spec", "most"), [(SMALL, 15), (LARGE, 47)])
def test_each_shape_once_and_no_more_than_the_rule_gives(spec: ImageSpec, most: int) -> None:
    shapes = expected_shapes(spec)
    assert len(shapes) == len(set(shapes)) == most


@given(st.integers(600, 6000), st.floats(1, LARGEST_RATIO), st.booleans(), st.sampled_from([SMALL, LARGE]))
def test_photos_of_any_size_are_expected(side: int, ratio: float, upright: bool, spec: ImageSpec) -> None:
    size = (side, max(1, round(side / ratio)))
    assert shape_of(spec, *(size if upright else size[::-1])) in expected_shapes(spec)
