import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from pycocotools import mask as coco
from skimage.data import horse

from deployments.imaging.masks import encode_rle, to_png
from deployments.imaging.rle import MAX_MASK_PIXELS, decode_rle, rle_area, rle_box, rle_box_intersection
from deployments.results import RLE, Box

Mask = NDArray[np.bool_]
masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12))
HORSE: Mask = ~horse()


@given(masks)
@example(HORSE)
@example(np.ones((1, 1), bool))
def test_rle_round_trip_and_pycocotools_reads_it(mask: Mask) -> None:
    rle = encode_rle(mask)
    assert rle["size"] == list(mask.shape)
    np.testing.assert_array_equal(decode_rle(rle), mask)
    np.testing.assert_array_equal(coco.decode(rle), mask)
    assert rle_area(rle) == mask.sum()


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
    for function in (decode_rle, rle_area, rle_box, to_png):
        with pytest.raises(ValueError, match="RLE"):
            function(rle)  # type: ignore[operator]


@given(st.integers(1, 20), st.integers(1, 20), st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=12))
def test_any_text_decodes_or_is_refused(height: int, width: int, counts: str) -> None:
    try:
        mask = decode_rle({"size": [height, width], "counts": counts})
    except ValueError:
        return
    assert mask.shape == (height, width)
