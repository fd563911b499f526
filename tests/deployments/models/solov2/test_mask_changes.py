import math
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from deployments.imaging.masks import encode_rle
from deployments.models.candidates import Asked
from deployments.models.load import load
from deployments.models.solov2 import mask_changes as module
from deployments.models.solov2.full_size import STRIDE, full_size_masks
from deployments.models.solov2.inference import SoftMasks, asked_for
from deployments.models.solov2.mask_changes import MaskChanges, mask_changes
from deployments.models.solov2.model import Solov2Model
from deployments.results import RLE
from tests.deployments.models.test_numerics import answers, eight_pictures, items

sides = st.integers(1, 90)


def found(masks: Tensor) -> SoftMasks:
    count = len(masks)
    return SoftMasks(torch.linspace(0.9, 0.5, count), torch.arange(count), masks)


def on_the_cpu(masks: Tensor, resized: tuple[int, int], original: tuple[int, int], threshold: float) -> list[RLE]:
    return [encode_rle(mask.numpy()) for mask in full_size_masks(masks, resized, original, threshold)]


# Not random, since the rounding of a pixel on the very threshold may depend on where in a vector it is computed.
@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    st.tuples(sides, sides),
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    st.integers(0, 5),
    st.integers(0, 3),
    st.floats(-4, 4),
    st.floats(0.05, 0.95),
    st.integers(1, 200_000),
    st.integers(0, 2**32 - 1),
)
def test_the_same_run_lengths_as_on_the_cpu(
    resized: tuple[int, int],
    original: tuple[int, int],
    count: int,
    padding: int,
    bias: float,
    threshold: float,
    at_once: int,
    seed: int,
) -> None:
    shape = (count, math.ceil(resized[0] / STRIDE) + padding, math.ceil(resized[1] / STRIDE))
    masks = (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 3 + bias).sigmoid()
    with patch.object(module, "PIXELS_AT_ONCE", at_once):
        changes = mask_changes(found(masks), resized, original, threshold)
    assert changes.places.dtype == torch.int32
    assert changes.rles(original) == on_the_cpu(masks, resized, original, threshold)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_masks_that_change_nowhere_or_at_once(value: float) -> None:
    changes = mask_changes(found(torch.full((2, 5, 7), value)), (17, 28), (50, 61), 0.5)
    assert changes.counts.tolist() == [int(value > 0.5)] * 2
    assert changes.places.tolist() == [0] * int(changes.counts.sum())
    assert changes.rles((50, 61)) == [encode_rle(np.full((50, 61), value > 0.5))] * 2


def test_only_what_is_asked_for_is_kept_and_in_order() -> None:
    candidates = SoftMasks(torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([2, 1, 2, 2]), torch.rand(4, 2, 3))
    kept = asked_for(candidates, Asked(0.65, None, (2, 7), 5))
    assert kept.labels.tolist() == [2, 2]
    assert torch.equal(kept.masks, candidates.masks[[0, 2]])
    assert asked_for(candidates, Asked(0.0, None, (2,), 1)).scores.tolist() == kept.scores[:1].tolist()
    assert len(asked_for(candidates, Asked(0.0, None, (), 5)).scores) == 0


def test_answers_of_the_way_that_a_gpu_takes_are_the_cpus() -> None:
    model = load("solov2_people", "instance_segmentation", "cpu", threads=1, engine="eager")
    assert isinstance(model, Solov2Model)
    batch = items(model, eight_pictures()[:4])
    expected = answers(model, batch)
    assert sum(map(len, expected)) >= 3
    model.masks_on_device = True
    assert all(isinstance(raw, MaskChanges) for raw in model.run(model.collate(batch)))
    assert answers(model, batch) == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_finds_the_places_that_the_cpu_finds() -> None:
    masks = (torch.randn(3, 24, 32, generator=torch.Generator().manual_seed(0)) * 3).sigmoid()
    exact = mask_changes(found(masks), (90, 128), (900, 1280), 0.5)
    ours = mask_changes(SoftMasks(*(part.cuda() for part in found(masks))), (90, 128), (900, 1280), 0.5)
    # Rounding may move a pixel that lies on the very threshold.
    assert (ours.counts.cpu() - exact.counts).abs().max() <= 4
    assert ours.places.device.type == "cuda"
