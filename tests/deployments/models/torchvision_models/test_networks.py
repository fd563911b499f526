from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import detection

from deployments.models.torchvision_models import rcnn, single_stage
from deployments.models.torchvision_models.networks import ModelName, Network, build, load_weights, new_name
from tests.deployments.models.torchvision_models.random_weights import random_state

SMALL = Network(model="ssdlite320_mobilenet_v3_large")


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return random_state(build(SMALL, 3).state_dict())


def test_labels_do_not_count_the_background() -> None:
    ours = build(SMALL, 90).state_dict()
    with torch.device("meta"):
        published = detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=91)
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in published.state_dict().items()}


@pytest.mark.parametrize("form", ["pth", "checkpoint", "safetensors"])
def test_weights_of_a_file(tmp_path: Path, state: dict[str, Tensor], form: str) -> None:
    path = tmp_path / "mine"
    if form == "safetensors":
        save_file(state, path)
    else:
        torch.save(state if form == "pth" else {"model": state, "epoch": 3}, path)
    network = build(SMALL, 3)
    load_weights(network, path, SMALL.model)
    assert not network.training
    loaded = network.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_frozen_norms_and_halves_fit(tmp_path: Path, state: dict[str, Tensor]) -> None:
    halves = {key: tensor.half() for key, tensor in state.items() if not key.endswith("num_batches_tracked")}
    torch.save(halves, tmp_path / "mine.pth")
    network = build(SMALL, 3)
    load_weights(network, tmp_path / "mine.pth", SMALL.model)
    loaded = network.state_dict()
    assert all(torch.equal(loaded[key], tensor.float()) for key, tensor in halves.items())
    assert {tensor.dtype for tensor in network.parameters()} == {torch.float32}


def test_what_does_not_fit_is_listed(tmp_path: Path, state: dict[str, Tensor]) -> None:
    # two labels too many, as of a file for another card
    torch.save(random_state(build(SMALL, 5).state_dict()) | {"extra": torch.zeros(1)}, tmp_path / "mine.pth")
    with pytest.raises(ValueError, match=r"^mine\.pth: .*torchvision's ssdlite320_mobilenet_v3_large") as caught:
        load_weights(build(SMALL, 3), tmp_path / "mine.pth", SMALL.model)
    assert "1 unexpected: extra" in str(caught.value)
    assert "head.classification_head.module_list.0.1.bias [36] instead of [24]" in str(caught.value)
    del state["backbone.features.0.0.0.weight"]
    torch.save(state, tmp_path / "mine.pth")
    with pytest.raises(ValueError, match=r"1 missing: backbone\.features\.0\.0\.0\.weight$"):
        load_weights(build(SMALL, 3), tmp_path / "mine.pth", SMALL.model)


@pytest.mark.parametrize(
    ("model", "old"),
    [
        ("maskrcnn_resnet50_fpn", "backbone.fpn.inner_blocks.3.weight"),
        ("maskrcnn_resnet50_fpn", "backbone.fpn.layer_blocks.0.bias"),
        ("maskrcnn_resnet50_fpn", "rpn.head.conv.weight"),
        ("maskrcnn_resnet50_fpn", "roi_heads.mask_head.mask_fcn1.weight"),
        ("maskrcnn_resnet50_fpn", "roi_heads.mask_head.mask_fcn4.bias"),
        ("retinanet_resnet50_fpn", "head.classification_head.conv.0.weight"),
        ("retinanet_resnet50_fpn", "head.regression_head.conv.6.bias"),
    ],
)
def test_old_names_are_those_of_torchvision(model: str, old: str) -> None:
    network = build(Network.model_validate({"model": model}), 3)
    new = new_name(old)
    assert new != old
    known = network.state_dict()
    assert new_name(new) == new
    theirs = network.load_state_dict({old: torch.empty_like(known[new])}, strict=False, assign=True)
    assert theirs.unexpected_keys == []
    assert new not in theirs.missing_keys
    assert len(theirs.missing_keys) > 100


def test_batch_norm_eps_is_the_backbones() -> None:
    network = build(Network(model="fasterrcnn_resnet50_fpn_v2", batch_norm_eps=0), 3)
    norms = {name: m.eps for name, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert {eps for name, eps in norms.items() if name.startswith("backbone.")} == {0}
    assert {eps for name, eps in norms.items() if not name.startswith("backbone.")} == {1e-5}


@pytest.mark.parametrize(
    "network", [{"model": "yolo"}, {}, {"model": "ssd300_vgg16", "detections_per_image": 0}, {"modle": "ssd300_vgg16"}]
)
def test_wrong_arguments_are_refused(network: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"model|detections_per_image"):
        Network.model_validate(network)


@pytest.mark.parametrize("name", get_args(ModelName))
def test_an_engine_gets_all_that_computes(name: Any) -> None:
    whole = build(Network(model=name), labels=3)
    kind = rcnn if hasattr(whole, "roi_heads") else single_stage
    networks = [network for network, _ in kind.examples(whole, torch.zeros(2, 3, 320, 320, device="meta"))]
    assert {id(each) for part in networks for each in part.parameters()} == {id(each) for each in whole.parameters()}
