"""Images that come as numbers instead of files: their shapes and ranges, checked before they become pictures."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from serve_app.limits import Limits


def check_batch_shape(shape: Sequence[int], limits: Limits) -> None:
    """Raise ValueError unless ``shape`` is [N, H, W, 3] within the limits."""
    if len(shape) != 4 or shape[3] != 3 or min(shape) < 1:
        raise ValueError(f"the shape must be [N, H, W, 3], not {list(shape)[:8]}")
    if shape[0] > limits.max_images:
        raise ValueError(f"the shape {list(shape)} holds more images than the limit of {limits.max_images}")
    if shape[1] * shape[2] > limits.max_pixels:
        raise ValueError(f"the shape {list(shape)} has more pixels an image than the limit of {limits.max_pixels}")


def from_floats(pixels: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Pictures from floats in 0 to 255, rounded.

    Raises ValueError for NaN, infinity, values outside the range, and for fractions that never exceed 1: those are
    pictures scaled to 0 to 1, which would come out black.
    """
    least, most = pixels.min(), pixels.max()
    if not (least >= 0 and most <= 255):
        raise ValueError(f"float pixels must be from 0 to 255, not from {least:g} to {most:g}")
    if most <= 1 and not np.isin(pixels, (0, 1)).all():
        raise ValueError("float pixels must be from 0 to 255; these look scaled to the range 0 to 1")
    rounded: NDArray[np.uint8] = np.rint(pixels).astype(np.uint8)
    return rounded
