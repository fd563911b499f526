"""Pictures as the segmenter sees them in training: random crops, with people of other pictures pasted in."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from training.augment import photometric, random_window
from training.data import PackedPicture, Picture
from training.instance_targets import CLASSES, MOST_OBJECTS, Target, make_target
from training.loop import Draw

PERSON = 0
SMALLEST_MASK = 24
"""Input pixels below which a mask is not worth learning."""
PASTE_SHARE = 0.5
"""How often people of another picture are pasted in."""
BESIDE_SHARE = 0.6
"""How often pasted people come to stand close to one who is there."""


class Sample:
    """A crop: uint8 RGB [S, S, 3], and of each object its label id, its uint8 0/1 mask [S, S] and whether that is its
    outline, not only its box; and of each crowd its label id and mask."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self.image = image
        self.labels: list[int] = []
        self.masks: list[NDArray[np.uint8]] = []
        self.outlined: list[bool] = []
        self.crowds: list[tuple[int, NDArray[np.uint8]]] = []

    def people(self) -> list[int]:
        """Which objects are people of known outline, and large enough to copy or to stand beside."""
        return [
            k
            for k, (label, mask, outlined) in enumerate(zip(self.labels, self.masks, self.outlined, strict=True))
            if label == PERSON and outlined and np.count_nonzero(mask) > 100
        ]


class InstanceCrops(Dataset):
    """Random crops at random scales from all sets; label_ids: COCO's category ids to label ids."""

    def __init__(self, pictures: Sequence[PackedPicture], label_ids: dict[int, int], seed: int, size: int) -> None:
        self.pictures, self.label_ids, self.seed, self.size = pictures, label_ids, seed, size

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, draw: Draw) -> tuple[NDArray[np.uint8], Target]:
        rng = np.random.default_rng((self.seed, *draw))
        picture = self.pictures[draw.index].unpack()
        sample = self.crop(rng, picture, spread=(0.5, 2.2))
        if rng.random() < PASTE_SHARE:
            donor = self.pictures[rng.integers(len(self.pictures))].unpack()
            paste(rng, sample, self.crop(rng, donor, spread=(0.3, 1.6)))
        seen = [k for k, mask in enumerate(sample.masks) if np.count_nonzero(mask) >= SMALLEST_MASK]
        if len(seen) > MOST_OBJECTS:
            seen = sorted(rng.choice(seen, MOST_OBJECTS, replace=False).tolist())
        counted = np.zeros(CLASSES, bool)
        counted[[self.label_ids[category] for category in picture.labelled]] = True
        target = make_target(
            rng,
            [sample.labels[k] for k in seen],
            [sample.masks[k] for k in seen],
            [sample.outlined[k] for k in seen],
            sample.crowds,
            counted,
            self.size,
        )
        return photometric(rng, sample.image), target

    def crop(self, rng: np.random.Generator, picture: Picture, spread: tuple[float, float]) -> Sample:
        """A random window; ``spread`` is the range of its scale, 1 being the whole picture."""
        height, width = picture.image.shape[:2]
        low, high = np.log(spread)
        scale = self.size / max(height, width) * float(np.exp(rng.uniform(low, high)))
        focus = picture.boxes[rng.integers(len(picture.boxes))] if len(picture.boxes) and rng.random() < 0.7 else None
        window = random_window(rng, height, width, self.size, scale, focus)
        sample = Sample(window.crop(picture.image))
        objects = zip(picture.labels, picture.dense_masks(), picture.crowd, picture.outlined, strict=True)
        for category, mask, crowd, outlined in objects:
            label = self.label_ids[int(category)]
            cut = window.crop(mask, cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA)
            if crowd:
                sample.crowds.append((label, cut))
            else:
                sample.labels.append(label)
                sample.masks.append(cut)
                sample.outlined.append(bool(outlined))
        return sample


def paste(rng: np.random.Generator, sample: Sample, donor: Sample) -> None:
    """Copy people of another picture over this one, in place, so that the network learns to part people who overlap
    (Simple Copy-Paste, Ghiasi et al., CVPR 2021)."""
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
        pixels = cv2.warpAffine(donor.image, move, (size, size), flags=cv2.INTER_NEAREST)
        sample.image[moved] = pixels[moved]
        for mask in (*sample.masks, *(crowd for _, crowd in sample.crowds)):
            mask[moved] = 0
        sample.masks.append(moved.astype(np.uint8))
        sample.labels.append(PERSON)
        sample.outlined.append(True)


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
