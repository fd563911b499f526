"""The ways in which people resize, by the libraries they use."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import cv2
import numpy as np
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as torchvision

from deployments.imaging.resize import resize
from deployments.imaging.spec import Interpolation
from serve_app.commands.preprocessing.photo import Pixels

Kernel = Literal["nearest", "bilinear", "bicubic", "lanczos", "box"]


@dataclass(frozen=True)
class Resampling:
    """One way to resize uint8 [H, W, 3] to a height and width."""

    call: str
    """As it is written in code."""
    kernel: Kernel
    antialias: bool
    """Whether the kernel widens when shrinking, so that every pixel of the photo counts."""
    run: Callable[[Pixels, int, int], Pixels]
    in_a_card: Interpolation | None = None
    """What a model card says for it."""


def _with_opencv(image: Pixels, height: int, width: int, *, flag: int) -> Pixels:
    return cv2.resize(image, (width, height), interpolation=flag).astype(np.uint8, copy=False)


def _with_pillow(image: Pixels, height: int, width: int, *, filter: Image.Resampling) -> Pixels:
    return np.array(Image.fromarray(image).resize((width, height), filter))


def _with_torchvision(image: Pixels, height: int, width: int, *, antialias: bool) -> Pixels:
    tensor = torch.tensor(image).permute(2, 0, 1)
    resized: Pixels = torchvision.resize(tensor, [height, width], antialias=antialias).permute(1, 2, 0).numpy()
    return resized


def _in_a_card(call: str, antialias: bool, interpolation: Interpolation) -> Resampling:
    return Resampling(call, "bilinear", antialias, partial(resize, interpolation=interpolation), interpolation)


def _opencv(call: str, kernel: Kernel, flag: int, antialias: bool = False) -> Resampling:
    return Resampling(f"OpenCV {call}", kernel, antialias, partial(_with_opencv, flag=flag))


def _pillow(kernel: Kernel, filter: Image.Resampling, antialias: bool = True) -> Resampling:
    return Resampling(f"Pillow {filter.name}", kernel, antialias, partial(_with_pillow, filter=filter))


RESAMPLINGS: dict[str, Resampling] = {
    "antialiased_bilinear": _in_a_card("Pillow BILINEAR", True, "antialiased_bilinear"),
    "opencv_bilinear": _in_a_card("OpenCV INTER_LINEAR", False, "opencv_bilinear"),
    "bilinear": _in_a_card("bilinear without antialias", False, "bilinear"),
    "torchvision_antialias": Resampling(
        "torchvision antialias=True",
        "bilinear",
        True,
        partial(_with_torchvision, antialias=True),
        "antialiased_bilinear",
    ),
    "torchvision_no_antialias": Resampling(
        "torchvision antialias=False", "bilinear", False, partial(_with_torchvision, antialias=False), "bilinear"
    ),
    "opencv_area": _opencv("INTER_AREA", "box", cv2.INTER_AREA, antialias=True),
    "opencv_nearest": _opencv("INTER_NEAREST", "nearest", cv2.INTER_NEAREST),
    "opencv_cubic": _opencv("INTER_CUBIC", "bicubic", cv2.INTER_CUBIC),
    "opencv_lanczos": _opencv("INTER_LANCZOS4", "lanczos", cv2.INTER_LANCZOS4),
    "pillow_nearest": _pillow("nearest", Image.Resampling.NEAREST, antialias=False),
    "pillow_box": _pillow("box", Image.Resampling.BOX),
    "pillow_bicubic": _pillow("bicubic", Image.Resampling.BICUBIC),
    "pillow_lanczos": _pillow("lanczos", Image.Resampling.LANCZOS),
}
"""Every way that is known here; those that a card can name come first."""
