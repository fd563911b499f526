import math
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from deployments.engines.equip import equip
from deployments.engines.finite import NotFinite, finite, require_finite
from deployments.engines.settings import EngineSettings


class Found(NamedTuple):
    boxes: Tensor
    masks: Tensor | None


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "wrapped", [lambda x: x, lambda x: [torch.ones(2), x], lambda x: {"found": (x,)}, lambda x: Found(x, None)]
)
def test_what_is_no_number_is_found_wherever_it_lies(wrong: float, wrapped: Any) -> None:
    good = torch.full((2, 3), 1e30)
    assert finite(wrapped)(good) is not None
    bad = good.clone()
    bad[1, 2] = wrong
    with pytest.raises(NotFinite):
        finite(wrapped)(bad)


def test_infinities_do_not_cancel() -> None:
    with pytest.raises(NotFinite):
        require_finite([torch.tensor([math.inf, 1.0]), torch.tensor([-math.inf])])


def test_whole_numbers_and_nothing_are_finite() -> None:
    require_finite([torch.arange(3), None, torch.empty(0, 4), []])


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize("engine", ["auto", "eager"])
@torch.inference_mode()
def test_an_equipped_network_gives_no_nan(engine: Any, tmp_path: Any) -> None:
    network = Scale().eval()
    smaller, larger = torch.rand(1, 3, 8, 8), torch.rand(2, 3, 16, 16)
    settings = EngineSettings("float32", 1, engine)
    equip([(network, (smaller,))], [(network, (larger,))], torch.device("cpu"), settings, tmp_path)
    assert network(smaller).shape == smaller.shape
    broken = smaller.clone()
    broken[0, 0, 0, 0] = math.nan
    with pytest.raises(NotFinite):
        network(broken)
