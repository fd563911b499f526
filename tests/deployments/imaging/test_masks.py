from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image

from deployments.imaging.masks import encode_rle, rle_of_changes, to_png
from deployments.imaging.rle import decode_rle

Mask = NDArray[np.bool_]
masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12))


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=6)))
def test_any_nonzero_byte_is_foreground(mask: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(decode_rle(encode_rle(mask)), mask > 0)


@pytest.mark.parametrize("shape", [(3,), (2, 3, 1), (0, 4)])
def test_only_a_plane_is_encoded(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="H, W"):
        encode_rle(np.zeros(shape, bool))


@given(masks)
def test_the_changes_are_enough(mask: Mask) -> None:
    flat = mask.flatten(order="F")
    places = np.flatnonzero(np.diff(flat, prepend=False))
    assert rle_of_changes(places, mask.shape) == encode_rle(mask)  # type: ignore[arg-type]


@given(masks, st.lists(st.integers(0, 50), max_size=5))
def test_two_changes_at_one_place_are_none(mask: Mask, twice: list[int]) -> None:
    places = np.flatnonzero(np.diff(mask.flatten(order="F"), prepend=False))
    more = np.sort(np.concatenate([places, np.array([*twice, *twice], np.int64) % mask.size, [mask.size]]))
    assert rle_of_changes(more, mask.shape) == encode_rle(mask)  # type: ignore[arg-type]


@given(masks)
def test_png_round_trip(mask: Mask) -> None:
    with Image.open(BytesIO(to_png(encode_rle(mask)))) as picture:
        assert picture.mode == "L"
        np.testing.assert_array_equal(np.asarray(picture), np.where(mask, 255, 0))
