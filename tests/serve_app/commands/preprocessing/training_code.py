"""Preprocessing as people write it, with the libraries themselves and none of this project's code."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torchvision.transforms import v2

TrainingCode = Callable[[Path], NDArray[np.float32]]
"""From a photo's file to the tensor that a network is trained on."""
HEIGHT, WIDTH = 299, 448
"""What the embedded segmenter's rule makes of the 640x427 test photo."""
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
UNIT_MEAN, UNIT_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def opencv(file: Path, *, rgb: bool, interpolation: int = cv2.INTER_LINEAR) -> NDArray[np.float32]:
    image = cv2.imread(str(file))
    if rgb:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    image = cv2.resize(image, (WIDTH, HEIGHT), interpolation=interpolation)
    return (image.astype(np.float32) - np.array(MEAN, np.float32)) / np.array(STD, np.float32)


def opencv_ignoring_exif(file: Path) -> NDArray[np.float32]:
    image = cv2.imread(str(file), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    image = cv2.resize(image, (HEIGHT, WIDTH))  # the photo lies on its side
    return (image.astype(np.float32) - np.array(MEAN, np.float32)) / np.array(STD, np.float32)


def torchvision_with(
    *numbers: v2.Transform, exif: bool = True, antialias: bool = True, first: tuple[v2.Transform, ...] = (v2.ToImage(),)
) -> TrainingCode:
    def run(file: Path) -> NDArray[np.float32]:
        image = Image.open(file)
        upright = ImageOps.exif_transpose(image) if exif else image
        size = (HEIGHT, WIDTH) if upright.width > upright.height else (WIDTH, HEIGHT)
        steps = [*first, v2.Resize(size, antialias=antialias), v2.ToImage(), *numbers]
        return v2.Compose(steps)(upright.convert("RGB")).numpy()

    return run


TO_UNIT = v2.ToDtype(torch.float32, scale=True)
TO_FLOAT = v2.ToDtype(torch.float32)
IMAGENET = v2.Normalize(UNIT_MEAN, UNIT_STD)
FLOAT_FIRST = (v2.ToImage(), TO_UNIT)
"""Resized after scaling, so that nothing is rounded to whole grey levels."""

card_rule = torchvision_with(TO_UNIT, IMAGENET)
