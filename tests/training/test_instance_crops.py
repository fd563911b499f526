import cv2
import numpy as np
import pytest

from tests.photos import astronaut
from training.data import NOT_DECODED, PackedPicture, Picture, as_rle
from training.instance_crops import InstanceCrops, Sample, beside, paste
from training.instance_targets import CLASSES
from training.loop import Draw

SIZE = 128


def square(left: int, top: int, side: int) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


def sample(grey: int, *objects: tuple[int, np.ndarray], outlined: bool = True) -> Sample:
    made = Sample(np.full((SIZE, SIZE, 3), grey, np.uint8))
    for label, mask in objects:
        made.labels.append(label)
        made.masks.append(mask)
        made.outlined.append(outlined)
    return made


def test_pasted_people_hide_what_is_behind_them() -> None:
    behind, crowd = square(0, 0, SIZE), square(0, 0, SIZE)
    there = sample(0, (7, behind))
    there.crowds.append((0, crowd))
    paste(np.random.default_rng(0), there, sample(200, (0, square(50, 50, 40))))
    assert there.labels == [7, 0]
    pasted = there.masks[1] > 0
    assert pasted.sum() == 1600
    assert (there.image[pasted] == 200).all()
    assert not behind[pasted].any()
    assert not crowd[pasted].any()


def test_only_people_of_known_outline_are_copied() -> None:
    there = sample(0, (0, square(10, 10, 30)))
    paste(np.random.default_rng(0), there, sample(200, (0, square(50, 50, 40)), outlined=False))
    paste(np.random.default_rng(0), there, sample(200, (5, square(50, 50, 40))))
    assert len(there.masks) == 1
    assert not there.image.any()


def test_a_person_comes_to_stand_beside_another_at_near_the_same_size() -> None:
    there, donor = square(50, 45, 30), square(5, 5, 15)
    for seed in range(20):
        scale, _, dx = beside(np.random.default_rng(seed), donor, there)[0]
        assert 30 * 0.7 <= 15 * scale <= 30 * 1.3
        left, right = 5 * scale + dx, 20 * scale + dx
        assert max(left - 80, 50 - right) < 3
        assert not (left <= 50.5 and right >= 79.5), "one would hide the other whole"


@pytest.fixture
def crops() -> InstanceCrops:
    """The astronaut as a person of known outline, a tie of which only the box is known, and a crowd of cups."""
    encoded = cv2.imencode(".png", astronaut()[:, :, ::-1])[1].tobytes()
    corners = np.array([[20, 10, 360, 510], [220, 200, 260, 300], [300, 300, 500, 500]], np.float32)
    rectangles = [as_rle([[x0, y0, x1, y0, x1, y1, x0, y1]], 512, 512) for x0, y0, x1, y1 in corners.tolist()]
    crowd, outlined = np.array([False, False, True]), np.array([True, False, True])
    labels = np.array([1, 32, 47])
    picture = Picture("test", NOT_DECODED, corners, labels, rectangles, crowd, outlined, frozenset({1, 47}))
    return InstanceCrops([PackedPicture(encoded, picture)], {1: 0, 32: 27, 47: 41}, seed=0, size=SIZE)


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
