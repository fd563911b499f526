import numpy as np
import pytest

from training.augment import Window
from training.data import as_rle
from training.instance_sample import Cutout

HEIGHT, WIDTH = 90, 120
SQUARE = as_rle([[30, 20, 60, 20, 60, 50, 30, 50]], HEIGHT, WIDTH)


def test_a_cutout_is_what_an_object_covers() -> None:
    found = Cutout.of(SQUARE)
    assert (found.left, found.top) == (30, 20)
    assert found.mask.shape == (30, 30)
    assert found.mask.all()


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_a_mask_lies_where_its_pixels_do(scale: float, mirror: bool) -> None:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[20:50, 30:60] = 255
    window = Window(scale, left=-6, top=4, mirror=mirror, size=128)
    mask = Cutout.of(SQUARE).seen(window, HEIGHT, WIDTH)
    assert mask is not None
    pixels = window.crop(image)[..., 0] > 127
    assert np.count_nonzero(mask.astype(bool) ^ pixels) <= 4 * 30 * scale
    assert abs(np.count_nonzero(mask) - np.count_nonzero(pixels)) <= 2 * 30 * scale


def test_what_lies_outside_is_not_seen() -> None:
    assert Cutout.of(SQUARE).seen(Window(1.0, left=60, top=0, mirror=False, size=64), HEIGHT, WIDTH) is None
    assert Cutout.of(SQUARE).seen(Window(1.0, left=59, top=0, mirror=True, size=64), HEIGHT, WIDTH) is not None
