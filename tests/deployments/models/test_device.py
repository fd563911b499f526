from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from deployments.imaging.spec import ImageSpec, KeepRatio
from deployments.models.device import Normalizer, choose_device, inside, packed, resized_planes, stack, to_cpu, unpacked
from tests.photos import astronaut, china

CPU = torch.device("cpu")
DTYPES = (torch.float32, torch.int64, torch.int32, torch.bool, torch.bfloat16, torch.uint8)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


class Found(NamedTuple):
    boxes: Tensor
    masks: Tensor | None


def spec(**changes: object) -> ImageSpec:
    values: dict[str, object] = {
        "color_order": "rgb",
        "resize": KeepRatio(rule="keep_ratio", short_side=8, long_side=8),
        "interpolation": "bilinear",
        "mean": (10.0, 20.0, 30.0),
        "std": (1.0, 2.0, 4.0),
    }
    return ImageSpec.model_validate(values | changes)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
@pytest.mark.parametrize(("picture", "size"), [(china(), (320, 480)), (china(), (345, 517)), (astronaut(), (301, 301))])
def test_planes_are_resized_as_pillow_does(picture: NDArray[np.uint8], size: tuple[int, int], device: str) -> None:
    expected = torch.tensor(np.array(Image.fromarray(picture).resize(size[::-1], Image.Resampling.BILINEAR)))
    (planes,) = resized_planes(torch.tensor(picture, device=device).permute(2, 0, 1)[None], *size).cpu()
    off = (planes.permute(1, 2, 0) - expected).abs()
    assert off.max() <= 1
    assert off.mean() < 0.003


def test_mean_and_std_a_channel() -> None:
    pixel = torch.tensor([12, 24, 38], dtype=torch.uint8).view(1, 3, 1, 1)
    assert Normalizer(spec(), CPU)(pixel).flatten().tolist() == [2, 2, 2]


def test_bgr_models_get_blue_first() -> None:
    pixel = torch.tensor([38, 24, 12], dtype=torch.uint8).view(1, 3, 1, 1)
    assert Normalizer(spec(color_order="bgr"), CPU)(pixel).flatten().tolist() == [2, 2, 2]


def test_scale_comes_before_the_mean() -> None:
    normalize = Normalizer(spec(scale=1 / 255, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)), CPU)
    assert normalize(torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)).flatten().tolist() == [1, 1, 1]


def test_stack_pads_right_and_below() -> None:
    images = [np.full((2, 3, 3), 7, np.uint8), np.full((4, 1, 3), 9, np.uint8)]
    batch = stack(images, 4, 5)
    assert batch.shape == (2, 3, 4, 5)
    assert batch.dtype == torch.uint8
    mask = inside([(2, 3), (4, 1)], 4, 5, CPU)
    assert torch.equal(batch[0, 0], mask[0, 0].to(torch.uint8) * 7)
    assert torch.equal(batch[1, 2], mask[1, 0].to(torch.uint8) * 9)


def test_auto_is_a_device_that_is_there() -> None:
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == CPU


@given(st.lists(st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 3), max_size=3)), min_size=1, max_size=6))
def test_tensors_of_any_kind_travel_together(kinds: list[tuple[torch.dtype, list[int]]]) -> None:
    tensors = [torch.randn(shape).mul(3).to(dtype) for dtype, shape in kinds]
    data = packed(tensors)
    assert data.shape == (sum(each.numel() * each.element_size() for each in tensors),)
    for found, tensor in zip(unpacked(data, [torch.empty_like(each) for each in tensors]), tensors, strict=True):
        assert found.dtype == tensor.dtype
        assert torch.equal(found, tensor)


def test_packing_takes_tensors_that_are_not_contiguous() -> None:
    turned = torch.arange(6.0).view(2, 3).T
    assert torch.equal(unpacked(packed([turned]), [turned])[0], turned)


def test_on_the_cpu_nothing_is_brought() -> None:
    results = [Found(torch.ones(2), None)]
    assert to_cpu(results) is results


@needs_cuda
def test_one_transfer_from_cuda_keeps_form_and_values() -> None:
    boxes = torch.rand(3, 4)
    first, second = to_cpu([Found(boxes.cuda(), None), Found(boxes, boxes[:0].cuda())])
    assert first.masks is None
    assert torch.equal(first.boxes, boxes)
    assert second.boxes is boxes
    assert second.masks is not None
    assert second.masks.shape == (0, 4)
