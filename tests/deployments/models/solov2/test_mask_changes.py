import pytest
import torch
from torch import Tensor

from deployments.imaging.rle import decode_rle
from deployments.models.candidates import Asked
from deployments.models.load import load
from deployments.models.solov2 import mask_changes as module
from deployments.models.solov2.inference import SoftMasks, asked_for
from deployments.models.solov2.mask_changes import MaskChanges, mask_changes
from deployments.models.solov2.model import Solov2Model
from tests.deployments.models.test_numerics import answers, eight_pictures, items


def found(masks: Tensor) -> SoftMasks:
    count = len(masks)
    return SoftMasks(torch.linspace(0.9, 0.5, count), torch.arange(count), masks)


def test_the_padding_is_left_out() -> None:
    soft = torch.zeros(2, 8, 8)
    soft[0, :4, :4] = 1
    soft[1, :, 6:] = 1
    inside, padding = map(decode_rle, mask_changes(found(soft), (32, 16), (64, 32), 0.5).rles((64, 32)))
    assert inside[:28, :28].all()
    assert not inside[36:].any()
    assert not padding.any()


def test_many_masks_are_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = (torch.randn(5, 12, 9, generator=torch.Generator().manual_seed(0)) * 3).sigmoid()
    together = mask_changes(found(masks), (45, 33), (200, 150), 0.4)
    monkeypatch.setattr(module, "MASKS_AT_ONCE", 2)
    apart = mask_changes(found(masks), (45, 33), (200, 150), 0.4)
    assert torch.equal(together.places, apart.places)
    assert torch.equal(together.counts, apart.counts)


def test_no_masks_change_nowhere() -> None:
    changes = mask_changes(found(torch.zeros(0, 5, 7)), (17, 28), (50, 61), 0.5)
    assert changes.rles((50, 61)) == []


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
