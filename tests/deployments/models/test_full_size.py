import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from deployments.imaging.masks import encode_rle, rle_of_changes
from deployments.imaging.rle import decode_rle
from deployments.models import full_size
from deployments.models.full_size import changes, neighbours
from deployments.models.solov2.network import resize_bilinear

LIMIT_MB = 1500
"""Of the whole process, the network and its libraries included."""


def masks_of(whole: torch.Tensor, original: tuple[int, int], threshold: float = 0.5) -> list[NDArray[np.bool_]]:
    places, counts = changes(whole.mT, original, threshold)
    assert places.dtype == torch.int32
    return [decode_rle(rle_of_changes(each.numpy(), original)) for each in torch.split(places, counts.tolist())]


sides = st.integers(1, 90)
originals = st.tuples(st.integers(1, 300), st.integers(1, 300))


@given(
    st.tuples(st.integers(0, 3), sides, sides),
    originals,
    st.integers(0, 2**32 - 1),
    st.floats(-6, 3),
    st.floats(0.05, 0.95),
    st.integers(1, 100_000),
)
def test_as_if_every_pixel_were_computed(
    shape: tuple[int, int, int],
    original: tuple[int, int],
    seed: int,
    bias: float,
    threshold: float,
    at_once: int,
) -> None:
    whole = (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 3 + bias).sigmoid()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(full_size.VALUES_AT_ONCE, "cpu", at_once)
        found = masks_of(whole, original, threshold)
    assert len(found) == len(whole)
    for mask, probabilities in zip(found, whole, strict=True):
        expected = resize_bilinear(probabilities[None, None], original)[0, 0].numpy()
        assert mask.shape == expected.shape
        # The libraries round differently, so a pixel on the very threshold may fall on either side.
        decided = np.abs(expected - threshold) > 1e-4
        np.testing.assert_array_equal(mask[decided], expected[decided] > threshold)


@given(st.tuples(sides, sides), st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 4]))
def test_a_pixel_on_the_threshold_is_outside(shape: tuple[int, int], seed: int, times: int) -> None:
    """Values and weights are such that floats are exact."""
    whole = torch.randint(0, 5, shape, generator=torch.Generator().manual_seed(seed)) / 4
    original = (shape[0] * times, shape[1] * times)
    (found,) = masks_of(whole[None], original)
    np.testing.assert_array_equal(found, resize_bilinear(whole[None, None], original)[0, 0].numpy() > 0.5)


@given(sides, sides)
def test_neighbours_are_those_of_half_pixel_centres(inputs: int, outputs: int) -> None:
    ramp = torch.arange(float(inputs))
    low, high, weight = neighbours(inputs, outputs)
    found = torch.lerp(ramp[low], ramp[high], weight)
    expected = resize_bilinear(ramp.view(1, 1, 1, -1), (1, outputs)).flatten()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_masks_that_change_nowhere_or_at_once(value: float) -> None:
    places, counts = changes(torch.full((2, 28, 17), value), (50, 61), 0.5)
    assert counts.tolist() == [int(value > 0.5)] * 2
    assert places.tolist() == [0] * int(counts.sum())
    assert rle_of_changes(places[:1].numpy(), (50, 61)) == encode_rle(np.full((50, 61), value > 0.5))


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
