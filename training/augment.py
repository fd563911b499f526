"""Augmentation on uint8 RGB arrays; every function takes its random generator, so that a seed fixes the run."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray


class Window(NamedTuple):
    """Where a random crop lies: network input = picture * scale - (left, top), mirrored if ``mirror``."""

    scale: float
    left: float
    top: float
    mirror: bool
    size: int

    def matrix(self, height: int, width: int) -> NDArray[np.float64]:
        """From the pixels of a picture of this height and width to the window's, [2, 3], both at their corners."""
        across, down = max(1, round(width * self.scale)) / width, max(1, round(height * self.scale)) / height
        moved = np.array([[across, 0, -round(self.left)], [0, down, -round(self.top)]], np.float64)
        return np.array([[-1, 0, self.size], [0, 1, 0]]) @ np.vstack([moved, [0, 0, 1]]) if self.mirror else moved

    def crop(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Cut the window out of an image [H, W, 3]; 0 outside it."""
        height, width = image.shape[:2]
        if self.scale > 1:
            return warp(image, self.matrix(height, width), self.size)
        resized = cv2.resize(
            image,
            (max(1, round(width * self.scale)), max(1, round(height * self.scale))),
            interpolation=cv2.INTER_AREA,
        )
        canvas = np.zeros((self.size, self.size, *image.shape[2:]), image.dtype)
        left, top = round(self.left), round(self.top)
        x0, y0 = max(0, left), max(0, top)
        x1, y1 = min(resized.shape[1], left + self.size), min(resized.shape[0], top + self.size)
        if x1 > x0 and y1 > y0:
            canvas[y0 - top : y1 - top, x0 - left : x1 - left] = resized[y0:y1, x0:x1]
        return np.ascontiguousarray(canvas[:, ::-1]) if self.mirror else canvas

    def move_boxes(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes [K, 4] of the picture in the window's pixels, not clipped."""
        moved = boxes * self.scale - np.array([round(self.left), round(self.top)] * 2, np.float32)
        if self.mirror:
            moved = np.stack([self.size - moved[:, 2], moved[:, 1], self.size - moved[:, 0], moved[:, 3]], axis=1)
        return moved.astype(np.float32)


def random_window(
    rng: np.random.Generator, height: int, width: int, size: int, scale: float, focus: NDArray[np.float32] | None
) -> Window:
    """A window of ``size`` pixels over the scaled picture, holding ``focus`` (one of its boxes) where one is given."""
    extents = np.array([width, height]) * scale
    if focus is not None:
        centre = (focus[:2] + focus[2:]) / 2 * scale
        corner = centre - rng.uniform(0.2, 0.8, 2) * size
    else:
        corner = rng.uniform(0, 1, 2) * (extents - size)
    slack = np.maximum(size - extents, 0)
    corner = np.clip(corner, -slack * rng.uniform(0, 1, 2), np.maximum(extents - size, 0))
    return Window(scale, float(corner[0]), float(corner[1]), bool(rng.random() < 0.5), size)


def warp(image: NDArray[np.uint8], matrix: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """A square [size, size, ...] of an image, bilinear, 0 outside it; matrix [2, 3] moves corners of pixels to corners
    of pixels, where OpenCV counts from their centres."""
    centred = matrix.copy()
    centred[:, 2] += matrix[:, :2].sum(axis=1) / 2 - 0.5
    return cv2.warpAffine(image, centred, (size, size), flags=cv2.INTER_LINEAR)


def photometric(rng: np.random.Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Brightness, contrast, saturation and tint; sometimes grey, blur, noise or JPEG artefacts."""
    grey = np.full((3, 3), 1 / 3)
    colours, offset = np.eye(3), np.zeros(3)
    if rng.random() < 0.8:
        gain, lift, contrast = rng.uniform(0.65, 1.4), rng.uniform(-25, 25), rng.uniform(0.7, 1.3)
        mean = gain * float(np.mean(cv2.mean(image)[:3])) + lift
        saturation, tint = rng.uniform(0.4, 1.6), rng.uniform(0.9, 1.1, 3)
        colours = gain * contrast * tint[:, None] * (saturation * np.eye(3) + (1 - saturation) * grey)
        offset = tint * (contrast * lift + (1 - contrast) * mean)
    if rng.random() < 0.05:
        colours, offset = grey @ colours, grey @ offset
    result = cv2.transform(image, np.column_stack([colours, offset]))
    if rng.random() < 0.1:
        noise = rng.normal(0, rng.uniform(2, 10), image.shape)
        result = np.clip(result + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.15:
        result = cv2.GaussianBlur(result, (0, 0), rng.uniform(0.4, 1.5))
    if rng.random() < 0.2:
        encoded = cv2.imencode(".jpg", result, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))])[1]
        result = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return result
