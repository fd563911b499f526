import pytest
import torch
from torch import nn
from torch.nn import functional as F

from deployments.models.solov2.config import Architecture, Deformable
from deployments.models.solov2.network import Solov2, resize_bilinear, with_coordinates


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture(),
        Architecture(backbone="resnet18", head_channels=256, head_convolutions=2, kernel_channels=128),
        Architecture(backbone="resnet34", classes=3),
        Architecture(backbone="resnet101"),
        Architecture(backbone="mobilenet_v2", fpn_channels=96, kernel_channels=64, grids=(32, 24, 16, 12)),
        Architecture(backbone="resnet101", deformable=Deformable()),
        Architecture(backbone="resnext101_64x4d", deformable=Deformable()),
        Architecture(deformable=Deformable(modulated=False, head_convolutions=1, mask_features=False)),
        Architecture(backbone="resnet50_vd", deformable=Deformable(head_convolutions=1, bias=True)),
    ],
    ids=lambda architecture: f"{architecture.backbone}{'_dcn' if architecture.deformable else ''}",
)
def test_output_shapes(architecture: Architecture) -> None:
    with torch.device("meta"):
        raw = Solov2(architecture)(torch.empty(2, 3, 96, 160))
    assert [tuple(level.shape) for level in raw.category_logits] == [
        (2, architecture.classes, grid, grid) for grid in architecture.grids
    ]
    assert [tuple(level.shape) for level in raw.kernels] == [
        (2, architecture.kernel_channels, grid, grid) for grid in architecture.grids
    ]
    assert raw.mask_features.shape == (2, architecture.kernel_channels, 24, 40)


@pytest.mark.parametrize(("depth", "millions"), [(18, 18.27), (50, 31.34)])
def test_known_parameter_counts_of_the_light_models(depth: int, millions: float) -> None:
    with torch.device("meta"):
        network = Solov2(
            Architecture.model_validate(
                {"backbone": f"resnet{depth}", "head_channels": 256, "head_convolutions": 2, "kernel_channels": 128}
            )
        )
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)


def test_coordinates_are_x_then_y() -> None:
    result = with_coordinates(torch.zeros(2, 1, 3, 5))
    assert result.shape == (2, 3, 3, 5)
    torch.testing.assert_close(result[1, 1], torch.linspace(-1, 1, 5).expand(3, 5))
    torch.testing.assert_close(result[1, 2], torch.linspace(-1, 1, 3)[:, None].expand(3, 5))


def test_resize_bilinear_has_half_pixel_centres() -> None:
    row = torch.tensor([0.0, 4.0]).view(1, 1, 1, 2)
    torch.testing.assert_close(resize_bilinear(row, (1, 4)).flatten(), torch.tensor([0.0, 1.0, 3.0, 4.0]))


def test_the_pyramid_adds_coarser_levels_by_nearest_neighbours() -> None:
    with torch.device("meta"):
        network = Solov2(Architecture(backbone="resnet18", fpn_channels=8, head_channels=32))
    neck = network.neck.to_empty(device="cpu")
    for convolution in [*neck.lateral_convs, *neck.fpn_convs]:
        nn.init.zeros_(convolution.conv.weight)
        nn.init.zeros_(convolution.conv.bias)
        centre = convolution.conv.weight.shape[-1] // 2
        convolution.conv.weight.data[:, :8, centre, centre] = torch.eye(8)
    stages = [
        torch.rand(1, width, 32 // stride, 32 // stride) for width, stride in ((64, 1), (128, 2), (256, 4), (512, 8))
    ]
    with torch.inference_mode():
        pyramid = neck(stages)
    first = [stage[:, :8] for stage in stages]
    expected = first[0] + sum(F.interpolate(stage, size=(32, 32), mode="nearest") for stage in first[1:])
    torch.testing.assert_close(pyramid[0], expected)
    torch.testing.assert_close(pyramid[4], first[3][:, :, ::2, ::2])
