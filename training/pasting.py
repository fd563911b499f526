"""Objects of other pictures pasted into a crop (Simple Copy-Paste, Ghiasi et al., CVPR 2021)."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from training.augment import warp
from training.data import Picture
from training.instance_sample import PERSON, Cutout, Sample

BESIDE_SHARE = 0.6
"""How often pasted people come to stand close to one who is there."""
SMALLEST_THING = 12
"""Pixels of its shorter side in its picture from which a thing is worth copying."""
THING_SCALES = (0.5, 2.0)
"""How large a copied thing is, 1 being as if its whole picture filled the crop."""
MOST_THINGS = 3
"""Copied into a crop."""


def paste_people(rng: np.random.Generator, sample: Sample, donor: Sample) -> None:
    """Copy people of another crop over this one, in place, so that the network learns to part people who overlap."""
    size = sample.image.shape[0]
    people, there = donor.people(), sample.people()
    if not people:
        return
    if there and rng.random() < BESIDE_SHARE:
        move = beside(rng, donor.masks[people[0]], sample.masks[there[rng.integers(len(there))]])
    else:
        dx, dy = rng.integers(-size // 3, size // 3, 2)
        move = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    for k in people[:3]:
        moved = cv2.warpAffine(donor.masks[k], move, (size, size), flags=cv2.INTER_NEAREST) > 0
        sample.cover(PERSON, moved, cv2.warpAffine(donor.image, move, (size, size), flags=cv2.INTER_NEAREST))


def beside(rng: np.random.Generator, mask: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float32]:
    """An affine matrix [2, 3] that brings a mask's object to another's side and near its size, so close that they
    mostly touch or overlap."""
    ys, xs = np.nonzero(mask)
    other_ys, other_xs = np.nonzero(other)
    scale = np.clip(np.sqrt(len(other_ys) / len(ys)) * rng.uniform(0.7, 1.3), 0.4, 2.5)
    reach = (np.ptp(xs) * scale + np.ptp(other_xs)) / 2 * rng.uniform(0.35, 1.0) * rng.choice((-1, 1))
    rise = np.ptp(other_ys) * rng.uniform(-0.2, 0.2)
    dx, dy = other_xs.mean() + reach - xs.mean() * scale, other_ys.mean() + rise - ys.mean() * scale
    return np.array([[scale, 0, dx], [0, scale, dy]], np.float32)


class Thing(NamedTuple):
    """An object that is no person, of known outline."""

    picture: Picture
    label: int
    cutout: Cutout


class Things:
    """What may be copied, drawn such that rare classes are not as rare: a class in proportion to the square root of its
    number of objects (as in LVIS, Gupta et al., CVPR 2019)."""

    def __init__(self, pictures: Sequence[Picture], cutouts: Sequence[list[Cutout]], label_ids: dict[int, int]) -> None:
        self.all: list[Thing] = []
        for picture, found in zip(pictures, cutouts, strict=True):
            for k, cutout in enumerate(found):
                label = label_ids[int(picture.labels[k])]
                copied = label != PERSON and picture.outlined[k] and not picture.crowd[k]
                if copied and min(cutout.mask.shape) >= SMALLEST_THING:
                    self.all.append(Thing(picture, label, cutout))
        counts = Counter(thing.label for thing in self.all)
        weights = np.array([counts[thing.label] ** -0.5 for thing in self.all])
        self.ends = np.cumsum(weights) / max(weights.sum(), 1e-9)

    def paste(self, rng: np.random.Generator, sample: Sample) -> None:
        """Copy a few over a crop, in place, anywhere."""
        for _ in range(int(rng.integers(1, MOST_THINGS + 1)) if self.all else 0):
            thing = self.all[int(np.searchsorted(self.ends, rng.random()))]
            paste_thing(rng, sample, thing)


def paste_thing(rng: np.random.Generator, sample: Sample, thing: Thing) -> None:
    """Copy a thing over a crop, in place, mirrored or not."""
    size = sample.image.shape[0]
    (height, width), (left, top) = thing.cutout.mask.shape, thing.cutout[:2]
    low, high = np.log(THING_SCALES)
    scale = size / max(thing.picture.image.shape[:2]) * float(np.exp(rng.uniform(low, high)))
    across = -scale if rng.random() < 0.5 else scale
    x, y = rng.uniform(0, size, 2)
    move = np.array([[across, 0, x - across * width / 2], [0, scale, y - scale * height / 2]])
    pixels = thing.picture.image[top : top + height, left : left + width]
    sample.cover(thing.label, warp(thing.cutout.mask, move, size) > 0, warp(pixels, move, size))
