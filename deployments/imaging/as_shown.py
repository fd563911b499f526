"""Stored pixels as they are shown: upright by EXIF, on white where transparent. With numpy and Pillow alone."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deployments.imaging.tags import MAX_NUMBERS, count_numbers

Pixels = NDArray[np.uint8]

ORIENTATION_TAG = 0x0112


def orientation_of(exif: bytes | None) -> int:
    """The orientation that an EXIF block states; 1 where it states none or is broken."""
    if not exif or count_numbers(exif.removeprefix(b"Exif\0\0")) > MAX_NUMBERS:
        return 1
    block = Image.Exif()
    try:
        block.load(exif)
        value = block.get(ORIENTATION_TAG, 1)
    except Exception:  # a picture with broken EXIF is still a picture
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def upright(image: Pixels, orientation: int) -> Pixels:
    """Undo the camera's rotation of [H, W] or [H, W, 3], EXIF tag 0x0112: 2 and 4 mirror, 3 turns, 5 to 8 transpose."""
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return image


def on_white(image: Image.Image) -> Pixels:
    """Composite RGBA on white."""
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return np.array(white)
