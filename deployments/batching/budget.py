"""How much one batch may hold."""

from dataclasses import dataclass

Shape = tuple[int, int]
"""Padded (height, width) in pixels."""


@dataclass(frozen=True, slots=True)
class BatchBudget:
    """The most that one batch may hold; an item above ``max_pixels`` still runs, alone."""

    max_images: int
    max_pixels: int
    """Padded pixels, over all images of the batch."""

    def __post_init__(self) -> None:
        if self.max_images < 1 or self.max_pixels < 1:
            raise ValueError(f"a batch budget needs at least one image and one pixel, not {self}")

    def capacity(self, shape: Shape) -> int:
        """Number of images of this shape in one batch, at least 1."""
        height, width = shape
        return max(1, min(self.max_images, self.max_pixels // max(1, height * width)))

    def halved(self) -> "BatchBudget":
        """Half the images and half the pixels, at least 1 of each."""
        return BatchBudget(max(1, self.max_images // 2), max(1, self.max_pixels // 2))
