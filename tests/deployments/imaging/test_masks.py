from io import BytesIO

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco
from skimage.data import horse
from skimage.measure import points_in_poly

from deployments.imaging.masks import (
    MAX_MASK_PIXELS,
    Polygon,
    decode_rle,
    encode_rle,
    rle_area,
    rle_box,
    rle_box_intersection,
    to_png,
    to_polygons,
)
from deployments.results import RLE, Box

Mask = NDArray[np.bool_]
masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12))
HORSE: Mask = ~horse()
RING = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 1]], bool)
CHECKERBOARD = np.indices((6, 7)).sum(axis=0) % 2 == 0


def inside(ring: list[list[int]], shape: tuple[int, int]) -> Mask:
    """Pixels whose centres a ring holds, by a library that knows nothing of our convention."""
    y, x = np.indices(shape) + 0.5
    return points_in_poly(np.stack([x.ravel(), y.ravel()], axis=1), np.array(ring, float)).reshape(shape)


def rasterise(polygons: list[Polygon], shape: tuple[int, int]) -> Mask:
    filled = np.zeros(shape, bool)
    for polygon in polygons:
        part = inside(polygon["exterior"], shape)
        for hole in polygon["holes"]:
            part &= ~inside(hole, shape)
        filled |= part
    return filled


@given(masks)
@example(HORSE)
@example(np.ones((1, 1), bool))
def test_rle_round_trip_and_pycocotools_reads_it(mask: Mask) -> None:
    rle = encode_rle(mask)
    assert rle["size"] == list(mask.shape)
    np.testing.assert_array_equal(decode_rle(rle), mask)
    np.testing.assert_array_equal(coco.decode(rle), mask)
    assert rle_area(rle) == mask.sum()


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=6)))
def test_any_nonzero_byte_is_foreground(mask: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(decode_rle(encode_rle(mask)), mask > 0)


@given(masks)
@example(HORSE)
@example(np.zeros((3, 4), bool))
def test_box_is_the_extent(mask: Mask) -> None:
    rows, columns = np.nonzero(mask)
    expected = Box(0, 0, 0, 0)
    if len(rows):
        expected = Box(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert rle_box(encode_rle(mask)) == expected


edge = st.floats(-3, 15)


@given(masks, edge, edge, edge, edge)
def test_box_intersection_counts_pixel_centres(
    mask: Mask, left: float, top: float, right: float, bottom: float
) -> None:
    y, x = np.indices(mask.shape) + 0.5
    expected = (mask & (x >= left) & (x < right) & (y >= top) & (y < bottom)).sum()
    assert rle_box_intersection(encode_rle(mask), Box(left, top, right, bottom)) == expected


@given(masks)
@example(RING)
@example(CHECKERBOARD)
@example(np.ones((1, 9), bool))
@example(~CHECKERBOARD)
def test_filled_polygons_give_back_the_mask(mask: Mask) -> None:
    polygons = to_polygons(encode_rle(mask))
    np.testing.assert_array_equal(rasterise(polygons, mask.shape), mask)
    for polygon in polygons:
        for ring in (polygon["exterior"], *polygon["holes"]):
            steps = np.abs(np.diff(np.array([*ring, ring[0]]), axis=0))
            assert ((steps == 0).sum(axis=1) == 1).all(), "every side is horizontal or vertical"


def test_polygons_of_a_photo_sized_mask() -> None:
    polygons = to_polygons(encode_rle(HORSE))
    np.testing.assert_array_equal(rasterise(polygons, HORSE.shape), HORSE)


def test_polygon_with_a_hole_is_written_out() -> None:
    assert to_polygons(encode_rle(RING)) == [
        {
            "exterior": [[0, 0], [3, 0], [3, 2], [4, 2], [4, 3], [0, 3]],
            "holes": [[[2, 1], [1, 1], [1, 2], [2, 2]]],
        }
    ]


def test_pixels_that_touch_at_a_corner_are_two_polygons() -> None:
    assert len(to_polygons(encode_rle(np.eye(2, dtype=bool)))) == 2


@given(masks)
def test_png_round_trip(mask: Mask) -> None:
    with Image.open(BytesIO(to_png(encode_rle(mask)))) as picture:
        assert picture.mode == "L"
        np.testing.assert_array_equal(np.asarray(picture), np.where(mask, 255, 0))


VALID = encode_rle(HORSE)


@pytest.mark.parametrize(
    "rle",
    [
        {"size": VALID["size"], "counts": VALID["counts"][:-3]},
        {"size": VALID["size"], "counts": VALID["counts"] + "1"},
        {"size": [*VALID["size"], 1], "counts": VALID["counts"]},
        {"size": [3, 4], "counts": VALID["counts"]},
        {"size": [0, 4], "counts": "0"},
        {"size": [-3, -4], "counts": "<"},
        {"size": [True, 1], "counts": "1"},
        {"size": [3, 4], "counts": ""},
        {"size": [3, 4], "counts": "<P"},
        {"size": [3, 4], "counts": "\x00"},
        {"size": [3, 4], "counts": "é"},
        {"size": [3, 4], "counts": "oooooooooooooooooooo0"},
        {"size": [MAX_MASK_PIXELS, 2], "counts": "0"},
    ],
)
def test_untrusted_rle_is_refused(rle: RLE) -> None:
    for function in (decode_rle, rle_area, rle_box, to_polygons, to_png):
        with pytest.raises(ValueError, match="RLE"):
            function(rle)  # type: ignore[operator]


@given(st.integers(1, 20), st.integers(1, 20), st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=12))
def test_any_text_decodes_or_is_refused(height: int, width: int, counts: str) -> None:
    try:
        mask = decode_rle({"size": [height, width], "counts": counts})
    except ValueError:
        return
    assert mask.shape == (height, width)


@pytest.mark.parametrize("shape", [(3,), (2, 3, 1), (0, 4)])
def test_only_a_plane_is_encoded(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="H, W"):
        encode_rle(np.zeros(shape, bool))
