from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from deployments.models.precision import Precision, float32, set_precision
from deployments.models.solov2.inference import SoftMasks
from deployments.models.torchvision_models import rcnn, single_stage
from deployments.models.torchvision_models.networks import ModelName, Network, build
from serve_app.local import build_local
from serve_app.settings import Settings

CPU = torch.device("cpu")


class Doubling(nn.Module):
    """A network that notes what it computes in."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.computed_in: list[torch.dtype] = []

    def forward(self, x: Tensor) -> dict[str, list[Tensor]]:
        y = self.layer(x)
        self.computed_in.append(y.dtype)
        return {"doubled": [y, y]}


class Model:
    def __init__(self) -> None:
        self.networks = (Doubling(), Doubling())


@pytest.mark.parametrize(("precision", "computed_in"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
@torch.inference_mode()
def test_networks_compute_in_it_and_answer_in_float32(precision: Any, computed_in: torch.dtype) -> None:
    model: Any = Model()
    set_precision(model, precision, CPU)
    for network in model.networks:
        assert [tensor.dtype for tensor in network(torch.ones(1, 2))["doubled"]] == [torch.float32] * 2
        assert network.computed_in == [computed_in]
        assert network.layer.weight.dtype == torch.float32


def test_float16_is_not_for_the_cpu() -> None:
    with pytest.raises(ValueError, match="precision float16 needs a CUDA device"):
        build_local(Settings(device="cpu", threads=1, precision="float16"))


def test_the_setting_has_every_precision() -> None:
    assert get_args(Settings.model_fields["precision"].annotation) == get_args(Precision)


def test_float32_keeps_the_form_of_outputs() -> None:
    half, whole = torch.ones(2, dtype=torch.bfloat16), torch.ones(2, dtype=torch.int64)
    found = float32({"named": SoftMasks(half, whole, half), "listed": [half, (whole, None)]})
    assert isinstance(found["named"], SoftMasks)
    assert [part.dtype for part in found["named"]] == [torch.float32, torch.int64, torch.float32]
    assert found["listed"][0].dtype == torch.float32
    assert found["listed"][1] == (whole, None)


@pytest.mark.parametrize("name", get_args(ModelName))
def test_all_of_a_torchvision_model_is_in_its_networks(name: Any) -> None:
    whole = build(Network(model=name), labels=3)
    parts = (rcnn if hasattr(whole, "roi_heads") else single_stage).parts(whole)
    assert {id(each) for part in parts for each in part.parameters()} == {id(each) for each in whole.parameters()}
