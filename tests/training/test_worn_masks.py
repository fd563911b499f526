import numpy as np
import pytest

from tests.photos import astronaut
from training.worn_masks import CHIN, NOSE, PROPER, draw_mask

FACE = np.array([180, 75, 267, 175], np.float32)


def changed(outline: tuple) -> np.ndarray:
    image = astronaut()
    worn = draw_mask(np.random.default_rng(0), image, FACE, outline)
    assert worn.shape == image.shape
    assert worn.dtype == np.uint8
    return (worn != image).any(axis=2)


def test_a_proper_mask_covers_nose_mouth_and_chin() -> None:
    where = changed(PROPER)
    left, top, right, bottom = FACE.astype(int)
    assert where[top + 65 : top + 90, left + 25 : right - 25].mean() > 0.95
    assert not where[: top + 25].any()  # the eyes stay free
    assert not where[bottom + 20 :].any()


def test_a_mask_below_the_nose_covers_mouth_and_chin() -> None:
    left, top, right, _ = FACE.astype(int)
    where = changed(NOSE)
    assert where[top + 78 : top + 92, left + 25 : right - 25].mean() > 0.95
    assert not where[top : top + 58, left + 25 : right - 25].any()


def test_a_mask_at_the_chin_leaves_the_nose_free() -> None:
    left, top, right, _ = FACE.astype(int)
    where = changed(CHIN)
    assert not where[top : top + 65, left + 25 : right - 25].any()
    assert where.any()


def test_the_picture_itself_stays_and_a_seed_fixes_the_mask() -> None:
    image = astronaut()
    one, two = (draw_mask(np.random.default_rng(3), image, FACE, PROPER) for _ in range(2))
    assert np.array_equal(one, two)
    assert np.array_equal(image, astronaut())


@pytest.mark.parametrize("box", [(-20, -20, 10, 10), (0, 0, 2, 3), (500, 500, 700, 700)])
def test_faces_at_the_border_and_tiny_ones(box: tuple[int, ...]) -> None:
    worn = draw_mask(np.random.default_rng(0), astronaut(), np.array(box, np.float32), PROPER)
    assert worn.shape == astronaut().shape
