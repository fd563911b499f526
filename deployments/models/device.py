"""Which device a model runs on, and how its input gets there."""

import warnings
from collections.abc import Sequence
from typing import Literal, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from deployments.imaging.spec import ImageSpec

# Pictures come out of shared memory, which nobody may write to; nothing here does.
warnings.filterwarnings("ignore", "The given NumPy array is not writable")

T = TypeVar("T")
DeviceSetting = Literal["auto", "cpu", "cuda"]


def choose_device(setting: DeviceSetting) -> torch.device:
    """``auto`` is CUDA where there is a device, else the CPU."""
    if setting == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(setting)


class Normalizer:
    """Colour order, scale, mean and std of an ImageSpec, on the device."""

    def __init__(self, spec: ImageSpec, device: torch.device) -> None:
        self.mean = torch.tensor(spec.mean, device=device).view(1, 3, 1, 1)
        self.std = torch.tensor(spec.std, device=device).view(1, 3, 1, 1)
        self.scale = spec.scale
        self.reverse = spec.color_order == "bgr"

    def __call__(self, images: Tensor) -> Tensor:
        """Grey levels [N, 3, H, W], RGB, uint8 or float, to the network's float32 input in the spec's colour order."""
        if self.reverse:
            images = images.flip(1)
        # Planes are several times faster than interleaved colours; in place, since memory is what takes the time.
        return images.contiguous().to(torch.float32, copy=True).mul_(self.scale).sub_(self.mean).div_(self.std)


def padded_batch(
    images: Sequence[NDArray[np.uint8]], height: int, width: int, normalize: Normalizer, device: torch.device
) -> Tensor:
    """A network's input, float32 [N, 3, height, width], of pictures uint8 RGB [h, w, 3], each at its upper left.

    The padding is zero after normalisation, as in training.
    """
    pixels = stack(images, height, width, pinned=device.type == "cuda").to(device, non_blocking=True)
    sizes = [(image.shape[0], image.shape[1]) for image in images]
    return normalize(pixels) * inside(sizes, height, width, device)


def resized_planes(pictures: Tensor, height: int, width: int) -> Tensor:
    """Grey levels [N, 3, H, W] as Pillow's BILINEAR resizes them, float32 [N, 3, height, width].

    Pillow rounds, halves up, after the rows and again after the columns: rounded but once, one value in five would be 1
    off, and of these one in several hundred is, since Pillow's weights have fewer bits.
    """
    planes = pictures.contiguous().float()  # planes are resized faster than interleaved colours
    for size in ((planes.shape[2], width), (height, width)):
        planes = F.interpolate(planes, size=size, mode="bilinear", antialias=True).add_(0.5).floor_()
    return planes


def to_cpu(results: T) -> T:
    """The same lists and tuples with every tensor on the CPU: one transfer, since each has the device waited for."""
    leaves, structure = tree_flatten(results)
    device_ones = [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.device.type != "cpu"]
    if not device_ones:
        return results
    brought = iter(unpacked(packed(device_ones).cpu(), device_ones))
    moved = [next(brought) if isinstance(leaf, Tensor) and leaf.device.type != "cpu" else leaf for leaf in leaves]
    made: T = tree_unflatten(moved, structure)
    return made


def packed(tensors: Sequence[Tensor]) -> Tensor:
    """The bytes of tensors of one device, one after the other: uint8 [bytes]."""
    return torch.cat([tensor.contiguous().flatten().view(torch.uint8) for tensor in tensors])


def unpacked(data: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """What ``packed`` made of ``tensors``, whose shapes and dtypes alone are looked at."""
    parts = torch.split(data, [tensor.numel() * tensor.element_size() for tensor in tensors])
    # cloned, since a part may begin where its dtype may not
    return [part.clone().view(like.dtype).view(like.shape) for part, like in zip(parts, tensors, strict=True)]


def tensor_of(image: NDArray[np.uint8], device: torch.device) -> Tensor:
    """A picture, uint8 [h, w, 3], as uint8 [3, h, w]; on the CPU it is not copied, and not to be written to."""
    pixels = torch.from_numpy(image)
    if device.type == "cuda":
        pixels = pixels.pin_memory()
    return pixels.to(device, non_blocking=True).permute(2, 0, 1)


def stack(images: Sequence[NDArray[np.uint8]], height: int, width: int, pinned: bool = False) -> Tensor:
    """Pictures uint8 [h, w, 3] into the upper left of a zeroed uint8 [N, 3, height, width], on the CPU.

    pinned: in memory from which a GPU copies while the CPU goes on.
    """
    canvas = torch.zeros(len(images), height, width, 3, dtype=torch.uint8, pin_memory=pinned)
    for slot, image in zip(canvas.numpy(), images, strict=True):
        slot[: image.shape[0], : image.shape[1]] = image
    return canvas.permute(0, 3, 1, 2)


def inside(sizes: Sequence[tuple[int, int]], height: int, width: int, device: torch.device) -> Tensor:
    """1 where a picture of the batch has pixels and 0 in its padding: float [N, 1, height, width]."""
    mask = torch.zeros(len(sizes), 1, height, width, device=device)
    for slot, (h, w) in zip(mask, sizes, strict=True):
        slot[:, :h, :w] = 1
    return mask
