"""Pictures as the segmenter sees them in training: random crops, with objects of other pictures pasted in."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from torch.utils.data import Dataset

from training.augment import photometric, random_window
from training.data import Picture
from training.instance_sample import Cutout, Sample
from training.instance_targets import CLASSES, MOST_OBJECTS, Target, make_target
from training.loop import Draw
from training.pasting import Things, paste_people

SMALLEST_MASK = 24
"""Input pixels below which a mask is not worth learning."""
PEOPLE_SHARE, THINGS_SHARE = 0.5, 0.4
"""How often people of another picture are pasted in, and how often other objects."""


class InstanceCrops(Dataset):
    """Random crops at random scales from all sets; label_ids: COCO's category ids to label ids."""

    def __init__(self, pictures: Sequence[Picture], label_ids: dict[int, int], seed: int, size: int) -> None:
        self.pictures, self.label_ids, self.seed, self.size = pictures, label_ids, seed, size
        self.cutouts = [[Cutout.of(rle) for rle in p.masks] for p in track(pictures, description="cutting masks out")]
        self.things = Things(pictures, self.cutouts, label_ids)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, draw: Draw) -> tuple[NDArray[np.uint8], Target]:
        rng = np.random.default_rng((self.seed, *draw))
        picture = self.pictures[draw.index]
        sample = self.crop(rng, draw.index, spread=(0.5, 2.2))
        if rng.random() < THINGS_SHARE:
            self.things.paste(rng, sample)
        if rng.random() < PEOPLE_SHARE:
            donor = int(rng.integers(len(self.pictures)))
            paste_people(rng, sample, self.crop(rng, donor, spread=(0.3, 1.6)))
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

    def crop(self, rng: np.random.Generator, index: int, spread: tuple[float, float]) -> Sample:
        """A random window of a picture; ``spread`` is the range of its scale, 1 being the whole picture."""
        picture = self.pictures[index]
        height, width = picture.image.shape[:2]
        low, high = np.log(spread)
        scale = self.size / max(height, width) * float(np.exp(rng.uniform(low, high)))
        focus = picture.boxes[rng.integers(len(picture.boxes))] if len(picture.boxes) and rng.random() < 0.7 else None
        window = random_window(rng, height, width, self.size, scale, focus)
        sample = Sample(window.crop(picture.image))
        for k, cutout in enumerate(self.cutouts[index]):
            mask = cutout.seen(window, height, width)
            if mask is None:
                continue
            label = self.label_ids[int(picture.labels[k])]
            if picture.crowd[k]:
                sample.crowds.append((label, mask))
            else:
                sample.labels.append(label)
                sample.masks.append(mask)
                sample.outlined.append(bool(picture.outlined[k]))
        return sample
