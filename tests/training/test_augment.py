import numpy as np
import pytest

from training.augment import Window, photometric, random_window


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_boxes_follow_their_pixels(scale: float, mirror: bool) -> None:
    image = np.zeros((80, 100, 3), np.uint8)
    image[20:40, 30:60] = 255
    window = Window(scale, left=-6, top=4, mirror=mirror, size=128)
    ys, xs = np.nonzero(window.crop(image)[..., 0] > 127)
    (box,) = window.move_boxes(np.array([[30, 20, 60, 40]], np.float32))
    assert [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] == pytest.approx(box.tolist(), abs=1)


def test_a_window_holds_its_focus() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        window = random_window(rng, 300, 400, 256, rng.uniform(0.5, 2), np.array([200, 150, 220, 170], np.float32))
        (box,) = window.move_boxes(np.array([[200, 150, 220, 170]], np.float32))
        centre = (box[:2] + box[2:]) / 2
        assert ((centre > 0) & (centre < 256)).all()


def test_photometric_keeps_shape_and_type_and_is_seeded() -> None:
    image = np.random.default_rng(1).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    one, two = (photometric(np.random.default_rng(5), image) for _ in range(2))
    assert one.shape == image.shape
    assert one.dtype == np.uint8
    assert np.array_equal(one, two)
