"""Masks drawn on bare faces, so that the classifier sees the same face with and without one."""

import cv2
import numpy as np
from numpy.typing import NDArray

FABRICS = ((235, 238, 240), (150, 190, 220), (120, 170, 160), (40, 40, 45), (190, 160, 170), (90, 110, 150))
"""Usual colours, RGB; one mask in three has any other."""
PROPER = ((0.5, 0.46), (0.80, 0.54), (0.97, 0.62), (0.90, 0.84), (0.5, 1.04), (0.10, 0.84), (0.03, 0.62), (0.20, 0.54))
"""Outline over nose, mouth and chin as shares of the face's box, (x, y)."""
NOSE = ((0.5, 0.72), (0.80, 0.66), (0.97, 0.66), (0.90, 0.88), (0.5, 1.06), (0.10, 0.88), (0.03, 0.66), (0.20, 0.66))
"""Outline over mouth and chin, below the nose: a mask that protects nobody."""
CHIN = ((0.5, 0.86), (0.85, 0.80), (0.92, 0.88), (0.72, 1.06), (0.5, 1.12), (0.28, 1.06), (0.08, 0.88), (0.15, 0.80))
"""Outline below the mouth: it protects nobody either."""


def draw_mask(
    rng: np.random.Generator, image: NDArray[np.uint8], box: NDArray[np.float32], outline: tuple
) -> NDArray[np.uint8]:
    """A copy of an image, uint8 RGB [H, W, 3], whose face at ``box`` (left, top, right, bottom) wears a mask: a shaded
    cloth with folds and ear loops, moved and coloured at random."""
    size = box[2:] - box[:2]
    points = box[:2] + (np.array(outline) + rng.normal(0, 0.025, (len(outline), 2)) + rng.normal(0, 0.03, 2)) * size
    shape = np.rint(points * 16).astype(np.int32)
    colour = rng.uniform(20, 240, 3) if rng.random() < 1 / 3 else np.array(FABRICS[rng.integers(len(FABRICS))])
    cloth = np.full(image.shape, colour, np.float32) + rng.normal(0, 14, 3)
    for fold in rng.uniform(0.2, 0.9, 3):
        height = round(float(points[:, 1].min() + fold * np.ptp(points[:, 1])))
        tone = tuple((cloth[0, 0] * rng.uniform(0.8, 0.95)).tolist())
        cv2.line(cloth, (0, height), (image.shape[1], height + int(rng.integers(-3, 4))), tone, 1, cv2.LINE_AA)
    # The light on the face stays on the cloth.
    light = cv2.GaussianBlur(image.mean(axis=2).astype(np.float32), (0, 0), max(1.0, float(size.max()) / 8))
    cloth *= (light / max(float(light.mean()), 1.0))[..., None] ** rng.uniform(0.3, 0.8)
    worn = image.copy()
    thread = tuple(int(value) for value in np.clip(cloth.mean(axis=(0, 1)), 0, 255))
    for side, ear in ((2, (1.0, 0.42)), (6, (0.0, 0.42))):
        end = np.rint((box[:2] + np.array(ear) * size) * 16).astype(int)
        cv2.line(worn, shape[side].tolist(), end.tolist(), thread, 1, cv2.LINE_AA, 4)
    alpha = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(alpha, [shape], 255, cv2.LINE_AA, 4)
    share = alpha[..., None] / 255.0
    return np.clip(worn * (1 - share) + cloth * share, 0, 255).astype(np.uint8)
