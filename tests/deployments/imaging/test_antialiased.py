import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from deployments.imaging import antialiased
from deployments.imaging.antialiased import resize_antialiased
from tests.photos import astronaut, china, grace_hopper

PHOTOS = {"astronaut": astronaut(), "china": china(), "grace_hopper": grace_hopper()}


def by_pillow(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("factor", [0.75, 0.5, 0.31, 0.2])
def test_shrunken_photos_are_pillows_but_for_single_grey_levels(name: str, factor: float) -> None:
    photo = PHOTOS[name]
    height, width = (int(side * factor) for side in photo.shape[:2])
    resized = resize_antialiased(photo, height, width)
    off = np.abs(resized.astype(int) - by_pillow(photo, height, width))
    assert off.max() <= 1
    assert np.mean(off > 0) < 0.01


@pytest.mark.parametrize(("height", "width"), [(500, 500), (100, 500), (600, 700), (384, 385)])
def test_the_rest_is_pillows_bit_for_bit(height: int, width: int) -> None:
    photo = PHOTOS["astronaut"]
    np.testing.assert_array_equal(resize_antialiased(photo, height, width), by_pillow(photo, height, width))


def test_without_the_simd_library_all_is_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(antialiased, "simd", None)
    photo = PHOTOS["astronaut"]
    np.testing.assert_array_equal(resize_antialiased(photo, 100, 120), by_pillow(photo, 100, 120))
