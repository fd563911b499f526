from io import BytesIO
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from deployments.imaging.decode import ImageTooLarge
from serve_app.commands.preprocessing.photo import CannotRead, Photo, Reader
from tests.photos import china, png
from tests.serve_app.commands.preprocessing.conftest import MAX_PIXELS, encode, zstd_tiff


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("reader", get_args(Reader))
def test_every_reader_reads_upright_and_as_stored(reader: Reader, orientation: int) -> None:
    data = encode(china(), orientation)
    photo = Photo(data, MAX_PIXELS)
    stored = np.array(Image.open(BytesIO(data)))
    assert photo.is_turned == (orientation != 1)
    np.testing.assert_array_equal(photo.pixels(reader, "stored"), stored)
    np.testing.assert_array_equal(photo.pixels(reader, "upright"), photo.served)
    assert photo.served.shape == china().shape


def test_no_library_leaves_a_tiff_turned() -> None:
    photo = Photo(encode(china(), orientation=6, format="TIFF"), MAX_PIXELS)
    assert not photo.is_turned
    for reader in get_args(Reader):
        np.testing.assert_array_equal(photo.pixels(reader, "stored"), china())


def test_libraries_that_drop_transparency_differ_from_the_service() -> None:
    rgba = np.dstack([china(), np.full(china().shape[:2], 100, np.uint8)])
    photo = Photo(png(rgba), MAX_PIXELS)
    for reader in ("opencv", "pillow"):
        np.testing.assert_array_equal(photo.pixels(reader, "upright"), china())
    assert (photo.served != china()).mean() > 0.9  # composited on white


def test_a_library_that_does_not_read_the_format_is_named() -> None:
    photo = Photo(zstd_tiff(china()), MAX_PIXELS)
    np.testing.assert_array_equal(photo.pixels("pillow", "upright"), china())
    with pytest.raises(CannotRead, match="opencv does not read this photo"):
        photo.pixels("opencv", "upright")


def test_the_limit_holds_before_any_library_reads() -> None:
    with pytest.raises(ImageTooLarge):
        Photo(encode(china()), max_pixels=1000)
