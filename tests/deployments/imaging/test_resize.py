import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from skimage.data import astronaut
from sklearn.datasets import load_sample_image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from deployments.imaging.resize import prepare, resize
from deployments.imaging.spec import ImageSpec

PHOTOS = {"astronaut": astronaut(), "china": load_sample_image("china.jpg")}
SIZES = [(37, 51), (200, 333), (256, 256), (427, 640), (511, 513), (701, 1103), (1, 7)]
side = st.integers(1, 90)


def torchvision_resize(image: NDArray[np.uint8], height: int, width: int, antialias: bool) -> NDArray[np.uint8]:
    tensor = torch.from_numpy(image.copy()).permute(2, 0, 1)
    resized = functional.resize(tensor, [height, width], InterpolationMode.BILINEAR, antialias=antialias)
    return resized.permute(1, 2, 0).numpy()


def difference(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> int:
    assert first.shape == second.shape
    assert first.dtype == second.dtype == np.uint8
    return int(np.abs(first.astype(int) - second).max())


def assert_like_the_libraries(image: NDArray[np.uint8], height: int, width: int, antialiased_within: int = 1) -> None:
    np.testing.assert_array_equal(resize(image, height, width, "opencv_bilinear"), cv2.resize(image, (width, height)))
    antialiased = resize(image, height, width, "antialiased_bilinear")
    pillow = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
    assert difference(antialiased, pillow) <= antialiased_within
    assert difference(antialiased, torchvision_resize(image, height, width, antialias=True)) <= antialiased_within
    plain = resize(image, height, width, "bilinear")
    assert difference(plain, torchvision_resize(image, height, width, antialias=False)) <= 1


@pytest.mark.parametrize("photo", PHOTOS)
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_photos_like_the_libraries(photo: str, height: int, width: int) -> None:
    assert_like_the_libraries(PHOTOS[photo], height, width)


@given(side, side, side, side, st.integers(0, 2**32 - 1), st.booleans())
def test_noise_like_the_libraries(
    height: int, width: int, new_height: int, new_width: int, seed: int, black_and_white: bool
) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    if black_and_white:
        noise = np.where(noise > 127, 255, 0).astype(np.uint8)
    assert_like_the_libraries(noise, new_height, new_width, antialiased_within=2 if black_and_white else 1)


def test_the_rules_differ() -> None:
    rules = ("opencv_bilinear", "antialiased_bilinear", "bilinear")
    opencv, antialiased, plain = (resize(PHOTOS["astronaut"], 100, 100, rule) for rule in rules)
    assert difference(opencv, antialiased) > 20
    assert difference(plain, antialiased) > 20


@pytest.mark.parametrize("interpolation", ["opencv_bilinear", "antialiased_bilinear", "bilinear"])
def test_same_size_is_returned_unchanged(interpolation: str) -> None:
    image = PHOTOS["astronaut"]
    assert resize(image, 512, 512, interpolation) is image  # type: ignore[arg-type]


def test_prepare_resizes_and_leaves_the_rest_to_the_device() -> None:
    spec = ImageSpec.model_validate(
        {
            "color_order": "bgr",
            "resize": {"rule": "keep_ratio", "short_side": 200, "long_side": 300},
            "interpolation": "opencv_bilinear",
            "pad_multiple": 32,
            "mean": [1.0, 2.0, 3.0],
            "std": [1.0, 2.0, 3.0],
        }
    )
    prepared = prepare(PHOTOS["china"], spec)
    np.testing.assert_array_equal(prepared, cv2.resize(PHOTOS["china"], (300, 200)))
