import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from deployments.models.backbones.deformable import DeformableConv2d


def layer(modulated: bool, **arguments: int) -> DeformableConv2d:
    torch.manual_seed(0)
    return DeformableConv2d(4, 6, 3, modulated=modulated, **arguments)


@pytest.mark.parametrize(("modulated", "share"), [(False, 1.0), (True, 0.5)])
@pytest.mark.parametrize("arguments", [{}, {"stride": 2}, {"groups": 2}, {"bias": True}], ids=str)
@torch.inference_mode()
def test_fresh_offsets_are_zero(modulated: bool, share: float, arguments: dict[str, int]) -> None:
    deformable = layer(modulated, **arguments)
    x = torch.randn(2, 4, 7, 9)
    plain = F.conv2d(x, deformable.weight, None, deformable.stride, 1, groups=deformable.groups) * share
    if deformable.bias is not None:
        plain = plain + deformable.bias.view(1, -1, 1, 1)
    torch.testing.assert_close(deformable(x), plain)


def looped(x: Tensor, weight: Tensor, found: Tensor, modulated: bool) -> Tensor:
    """The definition: each tap reads the input bilinearly at its own place plus its offset (y, x)."""
    _, _, height, width = x.shape
    result = torch.zeros(1, weight.shape[0], height, width)
    for y in range(height):
        for x0 in range(width):
            for tap in range(9):
                offset_y, offset_x = found[0, 2 * tap : 2 * tap + 2, y, x0].tolist()
                value = bilinear(x[0], y + tap // 3 - 1 + offset_y, x0 + tap % 3 - 1 + offset_x)
                factor = found[0, 18 + tap, y, x0].sigmoid() if modulated else 1.0
                result[0, :, y, x0] += weight[:, :, tap // 3, tap % 3] @ value * factor
    return result


def bilinear(picture: Tensor, y: float, x: float) -> Tensor:
    """Zero outside."""
    _, height, width = picture.shape
    value = torch.zeros(picture.shape[0])
    for row in (int(y // 1), int(y // 1) + 1):
        for column in (int(x // 1), int(x // 1) + 1):
            if 0 <= row < height and 0 <= column < width:
                value += picture[:, row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return value


@pytest.mark.parametrize("modulated", [False, True], ids=["v1", "v2"])
@torch.inference_mode()
def test_the_definition(modulated: bool) -> None:
    deformable = layer(modulated)
    torch.nn.init.normal_(deformable.conv_offset.weight, std=0.5)
    torch.nn.init.normal_(deformable.conv_offset.bias)
    x = torch.randn(1, 4, 5, 6)
    expected = looped(x, deformable.weight, deformable.conv_offset(x), modulated)
    torch.testing.assert_close(deformable(x), expected, rtol=1e-4, atol=1e-5)


def test_parameter_names() -> None:
    shapes = {key: list(tensor.shape) for key, tensor in layer(modulated=True).state_dict().items()}
    assert shapes == {"weight": [6, 4, 3, 3], "conv_offset.weight": [27, 4, 3, 3], "conv_offset.bias": [27]}
    assert layer(modulated=False).conv_offset.weight.shape[0] == 18
