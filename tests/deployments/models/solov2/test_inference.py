import math

import pytest
import torch
from torch import Tensor

from deployments.models.candidates import Asked
from deployments.models.solov2.config import Architecture, Inference
from deployments.models.solov2.inference import SoftMasks, matrix_nms, points_nms, select
from deployments.models.solov2.network import RawOutput, Solov2

SMALL = Architecture(
    backbone="resnet18",
    classes=5,
    fpn_channels=32,
    head_channels=32,
    head_convolutions=1,
    kernel_channels=32,
    mask_hidden_channels=32,
    grids=(12, 10, 8, 6, 4),
)


@pytest.mark.parametrize("seed", range(5))
def test_points_nms_keeps_what_no_earlier_neighbour_beats(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    # few distinct values, so that ties occur
    scores = torch.randint(0, 6, (2, 3, 7, 5), generator=generator) / 6
    found = points_nms(scores)
    for n, c, y, x in torch.cartesian_prod(*(torch.arange(size) for size in scores.shape)).tolist():
        neighbours = [scores[n, c, y - dy, x - dx] for dy in (0, 1) for dx in (0, 1) if y - dy >= 0 and x - dx >= 0]
        kept = scores[n, c, y, x] >= max(neighbours)
        assert found[n, c, y, x] == (scores[n, c, y, x] if kept else 0)


def looped_matrix_nms(scores: list[float], labels: list[int], masks: Tensor, sigma: float) -> list[float]:
    """The paper's definition, one pair at a time."""

    def iou(i: int, j: int) -> float:
        if labels[i] != labels[j]:
            return 0.0
        both = float((masks[i] * masks[j]).sum())
        return both / float(masks[i].sum() + masks[j].sum() - both)

    decayed = []
    for j in range(len(scores)):
        decay = 1.0
        for i in range(j):
            worst_of_i = max((iou(k, i) for k in range(i)), default=0.0)
            decay = min(decay, math.exp(-sigma * iou(i, j) ** 2) / math.exp(-sigma * worst_of_i**2))
        decayed.append(scores[j] * decay)
    return decayed


@pytest.mark.parametrize("seed", range(5))
def test_matrix_nms_is_the_pairwise_definition(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    count = 12
    scores = torch.rand(count, generator=generator).sort(descending=True).values
    labels = torch.randint(0, 3, (count,), generator=generator)
    masks = (torch.rand(count, 64, generator=generator) < 0.6).float()
    found = matrix_nms(scores, labels, masks, masks.sum(dim=1), sigma=2.0)
    expected = looped_matrix_nms(scores.tolist(), labels.tolist(), masks, sigma=2.0)
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-6)
    assert (found < scores).any()


def test_matrix_nms_spares_disjoint_and_differently_labelled_masks() -> None:
    scores = torch.tensor([0.9, 0.8, 0.7])
    masks = torch.tensor([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]])
    found = matrix_nms(scores, torch.tensor([0, 1, 0]), masks, masks.sum(dim=1), sigma=2.0)
    torch.testing.assert_close(found, scores)


def raw_output(pictures: int, bias: float) -> RawOutput:
    """Random logits around ``bias``, kernels and mask features for ``SMALL``."""
    generator = torch.Generator().manual_seed(7)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return RawOutput(
        [noise(pictures, SMALL.classes, grid, grid) + bias for grid in SMALL.grids],
        [noise(pictures, SMALL.kernel_channels, grid, grid) for grid in SMALL.grids],
        noise(pictures, SMALL.kernel_channels, 24, 32),
    )


def test_nothing_found() -> None:
    for one in select(raw_output(pictures=2, bias=-50), SMALL.mask_strides, Inference()):
        assert one.scores.shape == (0,)
        assert one.labels.shape == (0,)
        assert one.labels.dtype == torch.int64
        assert one.masks.shape == (0, 24, 32)


def test_masks_no_larger_than_their_stride_are_noise() -> None:
    raw = raw_output(pictures=1, bias=0)
    mask_pixels = 24 * 32
    assert len(select(raw, (mask_pixels,) * 5, Inference())[0].scores) == 0
    assert len(select(raw, (1,) * 5, Inference())[0].scores) > 0


def test_answers_are_bounded_sorted_and_above_the_threshold() -> None:
    settings = Inference(candidates=40, kept=10, kept_score=0.2)
    (one,) = select(raw_output(pictures=1, bias=0), SMALL.mask_strides, settings)
    assert 0 < len(one.scores) <= 10
    assert (one.scores.diff() <= 0).all()
    assert one.scores.min() >= 0.2
    assert one.labels.max() < SMALL.classes


@pytest.mark.parametrize("least", [0.0, 0.2, 0.35, 0.6, 0.99])
@pytest.mark.parametrize("label_ids", [None, (1, 3), ()])
def test_what_is_not_asked_for_changes_nothing_for_the_rest(least: float, label_ids: tuple[int, ...] | None) -> None:
    raw = raw_output(pictures=2, bias=-1)
    settings = Inference(candidates=10**6, kept=10**6)
    everything = select(raw, SMALL.mask_strides, settings)
    found = select(raw, SMALL.mask_strides, settings, [Asked(least, None, label_ids, 10**6)] * 2)
    for one, whole in zip(found, everything, strict=True):
        rows = whole.scores >= least
        if label_ids is not None:
            rows &= torch.isin(whole.labels, torch.tensor(label_ids, dtype=torch.int64))
        mine = one.scores >= least
        torch.testing.assert_close(one.scores[mine], whole.scores[rows], rtol=1e-5, atol=1e-6)
        assert one.labels[mine].tolist() == whole.labels[rows].tolist()
        torch.testing.assert_close(one.masks[mine], whole.masks[rows], rtol=1e-4, atol=1e-5)
        assert set(one.labels.tolist()) <= set(range(SMALL.classes) if label_ids is None else label_ids)
    assert len(everything[0].scores) > 20


@pytest.fixture(scope="module")
def network() -> Solov2:
    torch.manual_seed(0)
    network = Solov2(SMALL).eval()
    torch.nn.init.constant_(network.mask_head.conv_cls.bias, 0.3)
    return network


def assert_alike(one: SoftMasks, other: SoftMasks) -> None:
    torch.testing.assert_close(one.scores, other.scores, rtol=0, atol=1e-4)
    assert one.labels.tolist() == other.labels.tolist()
    torch.testing.assert_close(one.masks, other.masks, rtol=0, atol=1e-3)


@torch.inference_mode()
def test_a_picture_alone_and_in_a_batch_of_four(network: Solov2) -> None:
    images = torch.randn(4, 3, 96, 128, generator=torch.Generator().manual_seed(1))
    settings = Inference(kept=20)
    together = select(network(images), SMALL.mask_strides, settings)
    for image, in_batch in zip(images, together, strict=True):
        (alone,) = select(network(image[None]), SMALL.mask_strides, settings)
        assert len(alone.scores) > 0
        assert_alike(alone, in_batch)


@torch.inference_mode()
def test_the_same_picture_has_the_same_answer(network: Solov2) -> None:
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    (first,), (second,) = (select(network(images), SMALL.mask_strides, Inference()) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
