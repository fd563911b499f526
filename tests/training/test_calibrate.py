from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from deployments.models.card import EMBEDDED
from deployments.models.face_mask.classifier import CROP_SIZE, FaceClassifier
from deployments.results import Box, Face
from tests.training.test_evaluate import picture
from training import calibrate
from training.calibrate import calibrated, fit, mask_logits


def test_the_fit_finds_how_overconfident_the_logits_are() -> None:
    generator = torch.Generator().manual_seed(0)
    odds = torch.randn(20_000, generator=generator, dtype=torch.float64) * 2
    truth = (torch.rand(20_000, generator=generator, dtype=torch.float64) < odds.sigmoid()).double()
    scale, offset = fit(odds * 3 + 0.6, truth)
    assert scale == pytest.approx(1 / 3, rel=0.05)
    assert offset == pytest.approx(-0.2, abs=0.05)


def test_only_the_mask_logit_changes() -> None:
    weights = load_file(EMBEDDED / "face_mask.safetensors")
    before, after = FaceClassifier().eval(), FaceClassifier().eval()
    for model, state in ((before, weights), (after, calibrated(weights, 0.5, 0.25))):
        own = {key: value for key, value in state.items() if key.startswith("classifier.")}
        model.load_state_dict({key.removeprefix("classifier."): value for key, value in own.items()})
    crops = torch.rand(3, 3, CROP_SIZE, CROP_SIZE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        one, other = before(crops), after(crops)
    assert torch.allclose(other.mask, one.mask * 0.5 + 0.25, atol=1e-5)
    assert torch.equal(one.face, other.face)
    assert torch.equal(one.offsets, other.offsets)


def test_faces_that_are_found_count_and_a_mask_worn_wrongly_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [(0, 0, 20, 20), (40, 0, 60, 20), (0, 40, 20, 60), (70, 70, 90, 90)]
    found = [Face(Box(*box), 0.9, "MASK", 0.75) for box in boxes[:3]]
    found[1] = replace(found[1], label="NO MASK")
    monkeypatch.setattr(calibrate, "answer", lambda *_: found)
    nobody: Any = None
    logits, masked = mask_logits(nobody, [picture(boxes, [1, 2, 3, 1])])
    assert logits.sigmoid().tolist() == pytest.approx([0.75, 0.25, 0.75])
    assert masked.tolist() == [1, 0, 0]
