"""Bilinear resizing as three libraries do it; models are sensitive to which one they were trained with."""

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.imaging.antialiased import resize_antialiased
from deployments.imaging.spec import ImageSpec, Interpolation


def resize(image: NDArray[np.uint8], height: int, width: int, interpolation: Interpolation) -> NDArray[np.uint8]:
    """Resize uint8 [H, W, 3] to [height, width, 3]; an image that has the size already is returned as it is.

    - ``opencv_bilinear``: cv2.resize with INTER_LINEAR, bit for bit. Aliases when shrinking.
    - ``antialiased_bilinear``: within 1 grey level of Pillow's BILINEAR and of torchvision's antialias=True.
    - ``bilinear``: within 1 grey level of torchvision's antialias=False.
    """
    if image.shape[:2] == (height, width):
        return image
    if interpolation == "antialiased_bilinear":
        return resize_antialiased(image, height, width)
    if interpolation == "opencv_bilinear":
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)
    # The same sampling points as OpenCV's; in floating point, where its fixed-point weights could be off.
    resized = cv2.resize(image.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.rint(resized).astype(np.uint8)


def prepare(image: NDArray[np.uint8], spec: ImageSpec) -> NDArray[np.uint8]:
    """Resize RGB uint8 [H, W, 3] as ``spec`` says, to RGB uint8 [h, w, 3] with (h, w) = spec.resized_size(H, W).

    Colour order, mean and std, and padding are left to the device, so that only uint8 travels to it.
    """
    return resize(image, *spec.resized_size(*image.shape[:2]), spec.interpolation)
