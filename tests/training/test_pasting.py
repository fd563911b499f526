from collections import Counter

import numpy as np

from training.data import Picture
from training.instance_sample import Cutout, Sample
from training.pasting import Thing, Things, beside, paste_people, paste_thing

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
    paste_people(np.random.default_rng(0), there, sample(200, (0, square(50, 50, 40))))
    assert there.labels == [7, 0]
    pasted = there.masks[1] > 0
    assert pasted.sum() == 1600
    assert (there.image[pasted] == 200).all()
    assert not behind[pasted].any()
    assert not crowd[pasted].any()


def test_only_people_of_known_outline_are_copied() -> None:
    there = sample(0, (0, square(10, 10, 30)))
    paste_people(np.random.default_rng(0), there, sample(200, (0, square(50, 50, 40)), outlined=False))
    paste_people(np.random.default_rng(0), there, sample(200, (5, square(50, 50, 40))))
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


def picture(*labels: int, outlined: bool = True, crowd: bool = False) -> Picture:
    """Grey 90, of 100 x 100; every object covers 40 x 20 of it."""
    count = len(labels)
    boxes = np.tile(np.array([[30, 40, 70, 60]], np.float32), (count, 1))
    flags = (np.full(count, crowd), np.full(count, outlined))
    return Picture("test", np.full((100, 100, 3), 90, np.uint8), boxes, np.array(labels), [{}] * count, *flags)


def cutout() -> Cutout:
    return Cutout(30, 40, np.ones((20, 40), np.uint8))


def things(*pictures: Picture) -> Things:
    return Things(pictures, [[cutout() for _ in each.labels] for each in pictures], {1: 0, 3: 2, 44: 39})


def test_rare_classes_are_copied_more_often_than_they_are_seen() -> None:
    found = things(picture(*[3] * 16), picture(44))
    labels = [0, 0]
    for seed in range(300):
        sample_ = sample(0)
        found.paste(np.random.default_rng(seed), sample_)
        assert 1 <= len(sample_.labels) <= 3
        labels = [labels[0] + sample_.labels.count(2), labels[1] + sample_.labels.count(39)]
    # By the square root of their numbers, 4 to 1, not 16 to 1.
    assert 3 < labels[0] / labels[1] < 5.5


def test_people_crowds_and_boxes_are_no_things() -> None:
    assert not things(picture(1), picture(3, outlined=False), picture(3, crowd=True)).all
    nothing = sample(0)
    things(picture(1)).paste(np.random.default_rng(0), nothing)
    assert not nothing.labels


def test_a_copied_thing_has_its_pixels_and_hides_what_is_behind() -> None:
    seen: Counter[bool] = Counter()
    for seed in range(20):
        there = sample(0, (7, square(0, 0, SIZE)))
        paste_thing(np.random.default_rng(seed), there, Thing(picture(3), 2, cutout()))
        assert there.labels == [7, 2]
        mask = there.masks[1] > 0
        assert (there.masks[0] > 0).tolist() == (~mask).tolist()
        inside = there.image[mask]
        seen[bool(mask.any())] += 1
        # Where the edge is between two pixels, half of it is seen.
        assert (inside <= 90).all()
        assert not mask.any() or np.median(inside) == 90
        assert not there.image[~mask].any()
    assert seen[True] > 10
