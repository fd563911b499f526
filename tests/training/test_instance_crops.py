import numpy as np
import pytest

from tests.photos import astronaut
from training.data import Picture, as_rle
from training.instance_crops import InstanceCrops
from training.instance_targets import CLASSES
from training.loop import Draw

SIZE = 128


@pytest.fixture
def crops() -> InstanceCrops:
    """The astronaut as a person of known outline, a tie of which only the box is known, and a crowd of cups."""
    corners = np.array([[20, 10, 360, 510], [220, 200, 260, 300], [300, 300, 500, 500]], np.float32)
    rectangles = [as_rle([[x0, y0, x1, y0, x1, y1, x0, y1]], 512, 512) for x0, y0, x1, y1 in corners.tolist()]
    crowd, outlined = np.array([False, False, True]), np.array([True, False, True])
    labels = np.array([1, 32, 47])
    picture = Picture("test", astronaut(), corners, labels, rectangles, crowd, outlined, frozenset({1, 47}))
    return InstanceCrops([picture], {1: 0, 32: 27, 47: 41}, seed=0, size=SIZE)


def test_a_draw_is_the_same_whoever_makes_it(crops: InstanceCrops) -> None:
    one, two, other = (crops[Draw(0, number)] for number in (5, 5, 6))
    assert np.array_equal(one[0], two[0])
    assert all(bool((a == b).all()) for a, b in zip(one[1], two[1], strict=True))
    assert not np.array_equal(one[0], other[0])


def test_a_crop_teaches_what_its_picture_labels(crops: InstanceCrops) -> None:
    outlined_people, boxed_ties, crowded = 0, 0, 0
    for number in range(20):
        image, target = crops[Draw(0, number)]
        assert image.shape == (SIZE, SIZE, 3)
        assert target.wanted.any(dim=1).nonzero()[:, 0].tolist() in ([], [0], [27], [0, 27])
        elsewhere = np.setdiff1d(np.arange(CLASSES), [0, 41, 27])
        assert not target.counted[elsewhere].any()
        assert bool((target.counted[27] == target.wanted[27]).all()), "a tie is right where one is, and never wrong"
        outlined_people += int(target.wanted[0].any() and target.outlined.any())
        boxed_ties += int(target.wanted[27].any())
        crowded += int(not target.counted[41].all())
    assert min(outlined_people, boxed_ties, crowded) > 0
