"""Pictures that people's cameras and encoders write, with what is right for each."""

import numpy as np
import pytest

from deployments.imaging.decode import UnreadableImage, decode
from tests.deployments.imaging.decode.files import MANY
from tests.photos import SHARED

PICTURES = SHARED / "cases" / "pictures"

SIZES = {
    "16_2zero_before_RST.jpg": (256, 192),
    "18_grey4_key5.png": (4, 1),
    "18_grey2_key1.png": (4, 1),
    "18_rgb16_key0x1234.png": (3, 1),
    "18_rgb16_key0x0034_px0x34ff.png": (2, 1),
    "19_bmp_v4_alpha0.bmp": (64, 48),
    "19_bmp_v5_alpha0.bmp": (64, 48),
    "33_xmp_orientation6.jpg": (64, 48),
    "33_xmp_orientation6.png": (64, 48),
    **{f"3_icc_{kind}.jpg": (256, 192) for kind in ("2of1", "empty", "one_says_1of2", "same_twice_1of1", "seq0")},
    **{
        f"4_sample_{sampling}.jpg": (96, 64)
        for sampling in (
            "1x1_2x1_1x1",
            "1x3_1x1_1x1",
            "2x2_2x1_1x1",
            "2x4_1x1_1x1",
            "3x1_1x1_1x1",
            "4x1_2x1_2x1",
            "4x2_1x1_1x1",
        )
    },
    **{f"5_adobe_transform_{code}.jpg": (256, 192) for code in (3, 7)},
    "5_cmyk_transform7.jpg": (256, 192),
    **{f"5_jfif_{version}.jpg": (256, 192) for version in ("0_0", "0_2", "2_1")},
    **{f"jpg_{kind}.jpg": (64, 48) for kind in ("app14_short", "icc_short", "photoshop_bad")},
    **{
        f"png_{kind}.png": (64, 48)
        for kind in ("icc_1500kB", "ztxt_1500kB", "ancillary_bad_crc", "pHYs_short", "sRGB_empty")
    },
}
REFUSED = (
    "5c_sos_se0_and_3kB_zeroed.jpg",
    "jpg_two_soi.jpg",
    "png_no_iend.png",
    "png_no_iend_trailing_half.png",
    "png_acTL_bad.png",
)
GREYS = {
    "18_grey4_key5.png": [255, 102, 0, 255],
    "18_grey2_key1.png": [0, 255, 170, 255],
    "18_rgb16_key0x1234.png": [255, 18, 68],
    "18_rgb16_key0x0034_px0x34ff.png": [52, 255],
}

needs_pictures = pytest.mark.skipif(not PICTURES.is_dir(), reason="needs ../shared/cases/pictures")


@needs_pictures
@pytest.mark.parametrize("name", SIZES)
def test_read(name: str) -> None:
    image = decode((PICTURES / name).read_bytes(), MANY)
    assert image.shape[1::-1] == SIZES[name]
    if name in GREYS:
        assert image[0].tolist() == [[value] * 3 for value in GREYS[name]]
    else:
        assert 40 < image.mean() < 215  # neither white nor half grey
        assert float(np.abs(np.diff(image.astype(int), axis=0)).mean()) > 0.1


@needs_pictures
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    with pytest.raises(UnreadableImage):
        decode((PICTURES / name).read_bytes(), MANY)


@needs_pictures
def test_every_picture_has_its_row() -> None:
    assert {path.name for path in PICTURES.iterdir()} == {*SIZES, *REFUSED}
