"""Binary masks written: as COCO run-length encoding, and as PNG."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from deployments.imaging.rle import decode_rle
from deployments.results import RLE


def encode_rle(mask: NDArray[np.bool_] | NDArray[np.uint8]) -> RLE:
    """Encode a mask [H, W], bool or uint8 (anything but 0 is foreground)."""
    if mask.ndim != 2 or mask.size == 0:
        raise ValueError(f"a mask is a non-empty [H, W] array, not of shape {list(mask.shape)}")
    encoded = coco.encode(np.asfortranarray(mask.astype(bool, copy=False)).view(np.uint8))
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode("ascii")}


def rle_of_changes(places: NDArray[np.integer[Any]], size: tuple[int, int]) -> RLE:
    """Encode a mask of which only the changes are known.

    places: [T], column-major positions at which the mask differs from the pixel before it; 0 is one of them where the
    first pixel is foreground. An even number of changes at one place is none, and so is one past the last pixel.
    size: the mask's height and width.
    """
    pixels = size[0] * size[1]
    places, times = np.unique(places, return_counts=True)
    runs = np.diff(places[(times % 2 == 1) & (places < pixels)], prepend=0, append=pixels)
    encoded = coco.frPyObjects({"size": list(size), "counts": runs}, *size)
    return {"size": list(size), "counts": encoded["counts"].decode("ascii")}


def to_png(rle: RLE) -> bytes:
    """An 8-bit grey PNG of the mask's size: 255 inside, 0 outside. Raises ValueError as ``decode_rle``."""
    _, data = cv2.imencode(".png", decode_rle(rle).astype(np.uint8) * 255)
    return data.tobytes()
