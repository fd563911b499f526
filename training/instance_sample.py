"""A crop in the making: its pixels, and the masks of what is in it."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from training.augment import Window, warp

PERSON = 0


class Cutout(NamedTuple):
    """What an object covers of its picture: a uint8 0/1 mask [h, w] whose corner lies at (left, top)."""

    left: int
    top: int
    mask: NDArray[np.uint8]

    @classmethod
    def of(cls, rle: dict) -> "Cutout":
        """The part of a mask that is not empty."""
        dense = coco_mask.decode(rle)
        left, top, width, height = cv2.boundingRect(dense)
        return cls(left, top, dense[top : top + height, left : left + width].copy())

    def seen(self, window: Window, height: int, width: int) -> NDArray[np.uint8] | None:
        """The mask [S, S] in a window of a picture of this height and width; None where it lies outside."""
        matrix = window.matrix(height, width)
        corners = np.array([[self.left, self.top], np.add((self.left, self.top), self.mask.shape[::-1])], np.float32)
        ends = corners @ matrix[:, :2].T + matrix[:, 2]
        if (ends.max(axis=0) <= 0).any() or (ends.min(axis=0) >= window.size).any():
            return None
        matrix[:, 2] += matrix[:, :2] @ (self.left, self.top)
        return warp(self.mask, matrix, window.size)


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

    def cover(self, label: int, mask: NDArray[np.bool_], pixels: NDArray[np.uint8]) -> None:
        """Put an object of known outline over everything: where mask [S, S] is true, pixels [S, S, 3] are seen."""
        self.image[mask] = pixels[mask]
        for behind in (*self.masks, *(crowd for _, crowd in self.crowds)):
            behind[mask] = 0
        self.masks.append(mask.astype(np.uint8))
        self.labels.append(label)
        self.outlined.append(True)
