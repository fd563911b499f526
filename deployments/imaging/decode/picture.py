"""What each format's reader gives: a file whose header has been read, and whose pixels have not."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class ImageHeader:
    """What a file says of itself; an EXIF rotation may yet swap width and height."""

    format: str
    """JPEG, PNG, WEBP, BMP, TIFF, GIF, AVIF or HEIF."""
    width: int
    height: int


class Picture(Protocol):
    """An encoded picture."""

    @property
    def header(self) -> ImageHeader:
        """Format and size as stored."""

    @property
    def orientation(self) -> int:
        """How to turn the stored pixels upright, by EXIF's values 1 to 8."""

    def pixels(self, max_pixels: int) -> Pixels:
        """Decode to RGB, uint8 [H, W, 3], as stored. Raises ImageError, or whatever a codec raises on bad data."""
