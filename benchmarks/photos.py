"""Photos of any size to send, made from those that packages ship: people in front of a temple."""

from functools import cache
from io import BytesIO
from pathlib import Path
from random import Random

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_image

ONE_SIZE = (1680, 1050)
"""Width and height in pixels where all photos have one size."""
MIX_SHAPES = 30
SMALLEST_PIXELS = 100_000
LARGEST_PIXELS = 12_000_000
NARROWEST = 9 / 16
"""Width over height."""


@cache
def sources() -> tuple[Image.Image, ...]:
    """A temple without people, an astronaut, an admiral."""
    admiral = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    return (
        Image.fromarray(load_sample_image("china.jpg")),
        Image.fromarray(data.astronaut()),
        Image.open(admiral).convert("RGB"),
    )


def photo(width: int, height: int, seed: int = 0) -> bytes:
    """A JPEG of two people in front of the temple; a sensor's noise, drawn by ``seed``, makes its bytes realistic."""
    temple, *people = sources()
    scene = temple.resize((width, height), Image.Resampling.BICUBIC)
    for number, person in enumerate(people):
        scale = min(0.45 * width / person.width, 0.8 * height / person.height)
        size = (max(1, round(person.width * scale)), max(1, round(person.height * scale)))
        left = round(width * (0.27 + 0.46 * number) - size[0] / 2)
        scene.paste(person.resize(size, Image.Resampling.BICUBIC), (left, height - size[1]))
    noise = np.random.default_rng(seed).normal(0, 2.5, (height, width, 1))
    return jpeg(np.clip(np.asarray(scene) + noise, 0, 255).astype(np.uint8))


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """Encode RGB [H, W, 3]."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def crowd(people: int) -> bytes:
    """A JPEG of one size, in which so many people stand in rows in front of the temple."""
    temple, astronaut, _ = sources()
    width, height = ONE_SIZE
    scene = temple.resize(ONE_SIZE, Image.Resampling.BICUBIC)
    columns = max(1, round((people * width / height) ** 0.5))
    rows = -(-people // columns)
    side = min(width // columns, height // max(1, rows))
    person = astronaut.resize((side, side), Image.Resampling.LANCZOS)
    for number in range(people):
        row, column = divmod(number, columns)
        scene.paste(person, (column * width // columns, row * height // rows))
    return jpeg(np.asarray(scene))


def mixed_sizes(seed: int = 0) -> list[tuple[int, int]]:
    """Thirty widths and heights from 0.1 to 12 megapixels, upright and lying, each size as likely as its half."""
    random = Random(seed)
    sizes = []
    for number in range(MIX_SHAPES):
        pixels = SMALLEST_PIXELS * (LARGEST_PIXELS / SMALLEST_PIXELS) ** (number / (MIX_SHAPES - 1))
        ratio = NARROWEST ** random.uniform(-1, 1)
        sizes.append((round((pixels * ratio) ** 0.5), round((pixels / ratio) ** 0.5)))
    random.shuffle(sizes)
    return sizes


def one_size() -> list[bytes]:
    """Two photos of one size."""
    return [photo(*ONE_SIZE, seed) for seed in range(2)]


def mixed() -> list[bytes]:
    """A photo of each of the mixed sizes."""
    return [photo(*size) for size in mixed_sizes()]
