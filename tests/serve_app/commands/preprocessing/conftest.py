"""Photos as files, and tensors as training code writes them, by the libraries themselves."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from deployments.imaging.spec import ImageSpec
from deployments.models.card import card_path, read_card
from serve_app.commands.preprocessing.photo import Photo
from tests.photos import china

MAX_PIXELS = 10_000_000
# What turns an upright picture into what a camera stores, for each EXIF orientation.
STORE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def encode(image: NDArray[np.uint8], orientation: int = 1, format: str = "JPEG") -> bytes:
    """A file whose pixels lie as the camera was held, with the EXIF tag that says so."""
    picture = Image.fromarray(image)
    if orientation in STORE:
        picture = picture.transpose(STORE[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = BytesIO()
    picture.save(file, format, quality=95, exif=exif)
    return file.getvalue()


def zstd_tiff(image: NDArray[np.uint8]) -> bytes:
    """A kind of file that Pillow and the service read, and OpenCV does not."""
    file = BytesIO()
    Image.fromarray(image).save(file, "TIFF", compression="zstd")
    return file.getvalue()


@pytest.fixture(scope="session")
def photo_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo with fine texture, which aliases."""
    path = tmp_path_factory.mktemp("photos") / "china.jpg"
    path.write_bytes(encode(china()))
    return path


@pytest.fixture(scope="session")
def turned_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, taken with the camera on its side."""
    path = tmp_path_factory.mktemp("photos") / "turned.jpg"
    path.write_bytes(encode(china(), orientation=6))
    return path


@pytest.fixture(scope="session")
def photo(photo_file: Path) -> Photo:
    return Photo(photo_file.read_bytes(), MAX_PIXELS)


@pytest.fixture(scope="session")
def turned(turned_file: Path) -> Photo:
    return Photo(turned_file.read_bytes(), MAX_PIXELS)


@pytest.fixture(scope="session")
def spec() -> ImageSpec:
    """The embedded segmenter's: RGB, antialiased, ImageNet's mean and std on 0..255."""
    return read_card(card_path("solov2_people")).image
