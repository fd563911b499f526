"""Networks in fewer bits: what they compute in, and where they are refused."""

from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from deployments.engines.precision import Precision, autocast, check_precision, float32
from deployments.models.solov2.inference import SoftMasks
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


@pytest.mark.parametrize(("precision", "computed_in"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
@torch.inference_mode()
def test_networks_compute_in_it_and_answer_in_float32(precision: Any, computed_in: torch.dtype) -> None:
    network = Doubling()
    run = autocast(network, precision, CPU)
    assert [tensor.dtype for tensor in run(torch.ones(1, 2))["doubled"]] == [torch.float32] * 2
    assert network.computed_in == [computed_in]
    assert network.layer.weight.dtype == computed_in


class Exact(nn.Conv2d):
    """A convolution that autocast leaves alone."""

    def forward(self, x: Tensor) -> Tensor:
        """Float [N, C, h, w] to float32."""
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float())


class Layers(nn.Module):
    """Layers whose weights autocast casts, and some whose weights it leaves alone."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.GroupNorm(4, 32), Exact(32, 8, 3))
        self.last = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.layers(x).mean(dim=(2, 3)))
        return y


@torch.inference_mode()
def test_weights_cast_once_give_what_autocast_gives() -> None:
    torch.manual_seed(0)
    network = Layers().eval()
    x = torch.randn(2, 3, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        expected = network(x).float()
    run = autocast(network, "bfloat16", CPU)
    assert torch.equal(run(x), expected)
    convolution, norm, group_norm, exact = network.layers
    assert convolution.weight.dtype == network.last.weight.dtype == torch.bfloat16
    assert norm.weight.dtype == group_norm.weight.dtype == exact.weight.dtype == torch.float32


@pytest.mark.parametrize("found", [{"avx512_bf16": False, "cpu_name": "Old"}, {"cpu_name": "Old"}])
def test_bfloat16_needs_instructions_for_it(monkeypatch: pytest.MonkeyPatch, found: dict[str, Any]) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    with pytest.raises(ValueError, match=r"bfloat16 needs a CPU with AVX512_BF16, .* this one \(Old\) has none"):
        check_precision("bfloat16", CPU)
    check_precision("float32", CPU)
    check_precision("bfloat16", torch.device("cuda"))


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16", "bf16"])
def test_any_of_the_instructions_is_enough(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {name: True})
    check_precision("bfloat16", CPU)


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
