import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from deployments.models.solov2.full_size import STRIDE, full_size_masks, neighbours
from deployments.models.solov2.network import resize_bilinear

LIMIT_MB = 1500
"""Of the whole process, the network and its libraries included."""


def probabilities(resized: tuple[int, int], original: tuple[int, int], soft: Tensor) -> Tensor:
    """The two bilinear steps of a mask [h, w], whole and by the library: float [H, W]."""
    whole = resize_bilinear(soft[None, None], (soft.shape[0] * STRIDE, soft.shape[1] * STRIDE))
    return resize_bilinear(whole[:, :, : resized[0], : resized[1]], original)[0, 0]


def test_the_padding_is_left_out() -> None:
    soft = torch.zeros(2, 8, 8)
    soft[0, :4, :4] = 1
    soft[1, :, 6:] = 1
    inside, padding = full_size_masks(soft, resized=(32, 16), original=(64, 32), threshold=0.5)
    assert inside.shape == (64, 32)
    assert inside.dtype == torch.bool
    assert inside[:28, :28].all()
    assert not inside[36:].any()
    assert not padding.any()


sides = st.integers(1, 90)


@st.composite
def sizes(draw: st.DrawFn) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Of a mask, of the picture that the network saw, and of the original."""
    resized = draw(st.tuples(sides, sides))
    mask = (math.ceil(resized[0] / STRIDE) + draw(st.integers(0, 4)), math.ceil(resized[1] / STRIDE))
    return mask, resized, draw(st.tuples(st.integers(1, 300), st.integers(1, 300)))


@given(sizes(), st.integers(0, 2**32 - 1), st.floats(-6, 3))
def test_as_if_every_pixel_were_computed(
    shapes: tuple[tuple[int, int], tuple[int, int], tuple[int, int]], seed: int, bias: float
) -> None:
    mask, resized, original = shapes
    soft = (torch.randn(mask, generator=torch.Generator().manual_seed(seed)) * 3 + bias).sigmoid()
    (found,) = full_size_masks(soft[None], resized, original, threshold=0.5)
    expected = probabilities(resized, original, soft)
    assert found.shape == expected.shape
    # The libraries round differently, so a pixel on the very threshold may fall on either side.
    decided = (expected - 0.5).abs() > 1e-4
    assert torch.equal(found[decided], expected[decided] > 0.5)


@given(sides, sides)
def test_neighbours_are_those_of_half_pixel_centres(inputs: int, outputs: int) -> None:
    ramp = torch.arange(float(inputs))
    low, high, weight = neighbours(inputs, outputs)
    found = torch.lerp(ramp[low], ramp[high], weight)
    expected = resize_bilinear(ramp.view(1, 1, 1, -1), (1, outputs)).flatten()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_mask_of_one_value(value: float) -> None:
    (found,) = full_size_masks(torch.full((1, 5, 7), value), (17, 28), (50, 61), threshold=0.5)
    assert bool(found.all()) == (value > 0.5)
    assert bool(found.any()) == (value > 0.5)


def test_columns_lie_together_in_memory() -> None:
    (found,) = full_size_masks(torch.rand(1, 8, 8), (32, 32), (50, 40), threshold=0.5)
    assert np.isfortran(found.numpy())


TWELVE_MEGAPIXELS = r"""
import re
from pathlib import Path
import numpy as np, torch
from deployments.calls import Call, InstanceSegmentationOptions, Item
from deployments.models.load import load
from deployments.models.solov2.inference import SoftMasks

model = load("solov2_people", "instance_segmentation", "cpu", threads=1)
height, width = model.card.image.resized_size(3000, 4000)
y, x = torch.arange(72)[:, None], torch.arange(96)[None]
radii = torch.linspace(3, 90, 100)
masks = torch.stack([torch.sigmoid(r - ((y - 36) ** 2 + (x - 48) ** 2).sqrt()) for r in radii])
raw = SoftMasks(torch.linspace(0.9, 0.5, 100), torch.zeros(100, dtype=torch.int64), masks)
call = Call(3000, 4000, InstanceSegmentationOptions(), float("inf"), "test")
item = Item(np.zeros((height, width, 3), np.uint8), call)
instances = model.finish(item, raw)
assert len(instances) == 100, len(instances)
assert instances[-1].area == 12_000_000, instances[-1].area
# Not ru_maxrss, which counts the process that started this one too.
print(int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_a_12_megapixel_photo_with_100_instances_stays_small() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TWELVE_MEGAPIXELS], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    # A hundred full-size float maps would be 4.8 GB.
    assert int(done.stdout) < LIMIT_MB
