from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

from deployments.models.card import EMBEDDED, card_path
from deployments.models.load import load
from deployments.models.solov2.config import Architecture
from deployments.models.solov2.key_maps import Kind
from deployments.models.solov2.model import Solov2Model
from tests.deployments.models.solov2.layouts import LIGHT, VARIANTS, random_state, write

LIGHT_R18 = Architecture(backbone="resnet18", classes=3, **LIGHT)
NETWORK = LIGHT_R18.model_dump(mode="json", exclude_defaults=True)


def served(folder: Path, weights: str, network: dict[str, Any], labels: list[str]) -> Solov2Model:
    """What a card beside a weights file makes of it."""
    document = yaml.safe_load(card_path("solov2_people").read_text(encoding="utf-8"))
    document |= {"weights": weights, "network": network, "labels": labels, "class_thresholds": {}}
    card = folder / "card.yaml"
    card.write_text(yaml.safe_dump(document), encoding="utf-8")
    model = load(str(card), "instance_segmentation", "cpu", threads=1, engine="eager")
    assert isinstance(model, Solov2Model)
    return model


@pytest.fixture
def weights(tmp_path: Path) -> str:
    write(tmp_path / "light.pth", "mmdetection", random_state(LIGHT_R18))
    return "light.pth"


@pytest.mark.parametrize(
    ("kind", "variant", "file"),
    [
        ("mmdetection", "light_r18", "epoch_36.pth"),
        ("solo", "light_r34", "SOLOv2.pth"),
        ("paddledetection", "r50", "model_final.pdparams"),
    ],
)
@pytest.mark.parametrize("stated", [True, False])
def test_checkpoints_of_every_family_as_they_are(
    tmp_path: Path, kind: Kind, variant: str, file: str, stated: bool
) -> None:
    architecture = VARIANTS[kind, variant]
    state = random_state(architecture)
    write(tmp_path / file, kind, state)
    network = architecture.model_dump(mode="json", exclude_defaults=True) if stated else {}
    model = served(tmp_path, file, network, [f"class {i}" for i in range(architecture.classes)])
    assert model.network.architecture == architecture
    for key, tensor in model.network.state_dict().items():
        assert torch.equal(tensor, state[key].to(tensor.dtype)), key


def test_embedded_safetensors_have_the_cards_grids() -> None:
    model = load("solov2_people", "instance_segmentation", "cpu", threads=1)
    assert isinstance(model, Solov2Model)
    assert model.network.architecture == Architecture.model_validate(model.card.network)
    assert model.network.architecture.grids == (32, 24, 16, 12)
    assert (EMBEDDED / model.card.weights).is_file()


def test_grids_are_the_cards_where_the_file_states_none(tmp_path: Path, weights: str) -> None:
    model = served(tmp_path, weights, NETWORK | {"grids": [20, 16, 12, 8]}, ["cat", "dog", "cow"])
    assert model.network.architecture.grids == (20, 16, 12, 8)


def test_grids_that_the_file_states_must_be_the_cards(tmp_path: Path) -> None:
    metadata = {"architecture": LIGHT_R18.model_dump_json()}
    save_file(random_state(LIGHT_R18), tmp_path / "own.safetensors", metadata)
    served(tmp_path, "own.safetensors", NETWORK, ["cat", "dog", "cow"])
    with pytest.raises(ValueError, match=r"grids \(40, 36, 24, 16, 12\) instead of \(20, 16, 12, 8\)$"):
        served(tmp_path, "own.safetensors", NETWORK | {"grids": [20, 16, 12, 8]}, ["cat", "dog", "cow"])


def test_another_network_than_the_cards(tmp_path: Path, weights: str) -> None:
    wrong = NETWORK | {"backbone": "resnet50", "kernel_channels": 64}
    message = (
        r"^light\.pth: the file has another network than the model card: "
        r"backbone 'resnet18' instead of 'resnet50', kernel_channels 32 instead of 64$"
    )
    with pytest.raises(ValueError, match=message):
        served(tmp_path, weights, wrong, ["cat", "dog", "cow"])


@pytest.mark.parametrize("network", [NETWORK, {}])
def test_as_many_labels_as_classes(tmp_path: Path, weights: str, network: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="2 labels for 3 classes"):
        served(tmp_path, weights, network, ["cat", "dog"])
