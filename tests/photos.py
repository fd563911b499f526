"""Real photos that packages ship, with masks drawn on; pictures of ../shared where it is there."""

from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from skimage import data
from sklearn.datasets import load_sample_image

SHARED = Path(__file__).parents[2] / "shared"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the reference pictures of ../shared are not here")


def astronaut() -> NDArray[np.uint8]:
    """One person, bare face: uint8 RGB [512, 512, 3]."""
    return np.asarray(data.astronaut())


def grace_hopper() -> NDArray[np.uint8]:
    """One person, bare face: uint8 RGB [606, 512, 3]."""
    path = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    return np.asarray(Image.open(path).convert("RGB"))


def china() -> NDArray[np.uint8]:
    """A temple, nobody near: uint8 RGB [427, 640, 3]."""
    return np.asarray(load_sample_image("china.jpg"))


def masked_astronaut() -> NDArray[np.uint8]:
    """The astronaut with a surgical mask drawn over mouth and nose."""
    picture = Image.fromarray(astronaut())
    drawing = ImageDraw.Draw(picture)
    drawing.polygon(
        [(186, 108), (215, 100), (247, 106), (253, 128), (243, 152), (221, 166), (197, 156), (184, 132)],
        fill=(170, 205, 225),
        outline=(140, 180, 205),
    )
    for y in (118, 130, 142):
        drawing.line([(190, y), (247, y - 2)], fill=(150, 188, 210), width=1)
    return np.asarray(picture)


def jpeg(image: NDArray[np.uint8], quality: int = 95) -> bytes:
    """Encode RGB as JPEG."""
    file = BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return file.getvalue()


def png(image: NDArray[np.uint8]) -> bytes:
    """Encode RGB as PNG."""
    file = BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()
