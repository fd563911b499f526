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

    def crop(self, image: NDArray[np.uint8], interpolation: int | None = None) -> NDArray[np.uint8]:
        """Cut the window out of an image [H, W, ...]; 0 outside it."""
        if interpolation is None:
            interpolation = cv2.INTER_AREA if self.scale < 1 else cv2.INTER_LINEAR
        height, width = image.shape[:2]
        resized = cv2.resize(
            image, (max(1, round(width * self.scale)), max(1, round(height * self.scale))), interpolation=interpolation
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


def photometric(rng: np.random.Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Brightness, contrast, saturation and tint; sometimes grey, blur, noise or JPEG artefacts."""
    x = image.astype(np.float32)
    if rng.random() < 0.8:
        x = x * rng.uniform(0.65, 1.4) + rng.uniform(-25, 25)
        x = (x - x.mean()) * rng.uniform(0.7, 1.3) + x.mean()
        grey = x.mean(axis=2, keepdims=True)
        x = (x - grey) * rng.uniform(0.4, 1.6) + grey
        x = x * rng.uniform(0.9, 1.1, 3).astype(np.float32)
    if rng.random() < 0.05:
        x[:] = x.mean(axis=2, keepdims=True)
    if rng.random() < 0.1:
        x += rng.normal(0, rng.uniform(2, 10), x.shape).astype(np.float32)
    result = np.clip(x, 0, 255).astype(np.uint8)
    if rng.random() < 0.15:
        result = cv2.GaussianBlur(result, (0, 0), rng.uniform(0.4, 1.5))
    if rng.random() < 0.2:
        encoded = cv2.imencode(".jpg", result, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))])[1]
        result = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return result
