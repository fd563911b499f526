"""The cards of published models in configs/models."""

from pathlib import Path

import pytest
import torch

from deployments.models.card import read_card
from deployments.models.solov2.checkpoints import default_image_spec
from deployments.models.solov2.config import Architecture
from deployments.models.solov2.key_maps import Kind
from deployments.models.solov2.network import Solov2

FOLDER = Path(__file__).parents[3] / "configs" / "models"
SOLOV2: dict[str, tuple[Kind, int]] = {
    "solov2_r50_fpn_3x_coco": ("mmdetection", 46_592_912),
    "solov2_light_r18_fpn_3x_coco": ("mmdetection", 18_271_760),
    "solov2_r50_enhance_coco": ("paddledetection", 33_880_939),
}
"""Who published each, and how many parameters it has."""


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_cards_are_valid(path: Path) -> None:
    card = read_card(path)
    assert card.name == path.stem
    assert card.thresholds
    assert card.description


@pytest.mark.parametrize("name", SOLOV2)
def test_published_solov2s(name: str) -> None:
    card = read_card(FOLDER / f"{name}.yaml")
    kind, parameters = SOLOV2[name]
    architecture = Architecture.model_validate(card.network)
    assert len(card.labels) == architecture.classes
    assert card.image == default_image_spec(kind, architecture)
    with torch.device("meta"):
        network = Solov2(architecture)
    assert sum(each.numel() for each in network.parameters()) == parameters
