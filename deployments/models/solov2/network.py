"""SOLOv2's network (Wang et al., NeurIPS 2020), with the parameter names of mmdetection's checkpoints."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deployments.models.backbones.deformable import DeformableConv2d
from deployments.models.backbones.mobilenet import MobileNetV2
from deployments.models.backbones.resnet import ResNet
from deployments.models.solov2.config import Architecture, Deformable


class RawOutput(NamedTuple):
    """What the network says of a batch, finest level first.

    category_logits: a float [N, classes, G, G] a level; kernels: a float [N, kernel_channels, G, G] a level;
    mask_features: float [N, kernel_channels, H/4, W/4].
    """

    category_logits: list[Tensor]
    kernels: list[Tensor]
    mask_features: Tensor


class ConvolutionNorm(nn.Module):
    """Convolution, group norm over 32 groups, ReLU."""

    def __init__(self, inputs: int, outputs: int, size: int = 3, deformable: Deformable | None = None) -> None:
        super().__init__()
        if deformable:
            self.conv: nn.Conv2d = DeformableConv2d(
                inputs, outputs, size, bias=deformable.bias, modulated=deformable.modulated
            )
        else:
            self.conv = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
        self.gn = nn.GroupNorm(32, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Float [N, inputs, h, w] to [N, outputs, h, w]."""
        return F.relu(self.gn(self.conv(x)))


class PlainConvolution(nn.Module):
    """A convolution with bias under the name ``conv``."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, padding=size // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Float [N, inputs, h, w] to [N, outputs, h, w]."""
        result: Tensor = self.conv(x)
        return result


class FeaturePyramid(nn.Module):
    """FPN (Lin et al., CVPR 2017): P2 to P5, and P6 as P5 subsampled where a fifth level is asked for."""

    def __init__(self, widths: tuple[int, ...], channels: int, levels: int) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList(PlainConvolution(width, channels, 1) for width in widths)
        self.fpn_convs = nn.ModuleList(PlainConvolution(channels, channels, 3) for _ in widths)
        self.levels = levels

    def forward(self, stages: list[Tensor]) -> list[Tensor]:
        """C2 to C5 to P2 to P5 (or P6)."""
        laterals = [convolution(stage) for convolution, stage in zip(self.lateral_convs, stages, strict=True)]
        for finer in range(len(laterals) - 2, -1, -1):
            size = laterals[finer].shape[-2:]
            laterals[finer] = laterals[finer] + F.interpolate(laterals[finer + 1], size=size, mode="nearest")
        pyramid = [convolution(lateral) for convolution, lateral in zip(self.fpn_convs, laterals, strict=True)]
        if self.levels > len(pyramid):
            pyramid.append(F.max_pool2d(pyramid[-1], 1, stride=2))
        return pyramid


def with_coordinates(features: Tensor) -> Tensor:
    """Append two channels, x then y, each from -1 to 1 across the map (CoordConv)."""
    n, _, height, width = features.shape
    x = torch.linspace(-1, 1, width, device=features.device, dtype=features.dtype)
    y = torch.linspace(-1, 1, height, device=features.device, dtype=features.dtype)
    return torch.cat(
        [features, x.view(1, 1, 1, -1).expand(n, 1, height, width), y.view(1, 1, -1, 1).expand(n, 1, height, width)],
        dim=1,
    )


def resize_bilinear(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear with half-pixel centres, without antialiasing."""
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


class MaskFeatureHead(nn.Module):
    """Merges P2 to P5 into one map at stride 4, on which the dynamic kernels run."""

    def __init__(self, channels: int, hidden: int, outputs: int, deformable: Deformable | None) -> None:
        super().__init__()
        self.convs_all_levels = nn.ModuleList()
        for level in range(4):
            entry = channels + 2 if level == 3 else channels
            widths = [entry] + [hidden] * max(0, level - 1)
            self.convs_all_levels.append(
                nn.ModuleDict(
                    {
                        f"conv{i}": ConvolutionNorm(width, hidden, deformable=deformable)
                        for i, width in enumerate(widths)
                    }
                )
            )
        self.conv_pred = ConvolutionNorm(hidden, outputs, size=1, deformable=deformable)

    def forward(self, pyramid: list[Tensor]) -> Tensor:
        """P2 to P5 to float [N, outputs, H/4, W/4]."""
        merged = self._raised(0, pyramid[0])
        for level in range(1, 4):
            merged = merged + self._raised(level, with_coordinates(pyramid[3]) if level == 3 else pyramid[level])
        result: Tensor = self.conv_pred(merged)
        return result

    def _raised(self, level: int, x: Tensor) -> Tensor:
        for convolution in self.convs_all_levels[level].values():  # type: ignore[operator]
            x = convolution(x)
            if level > 0:
                x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        return x


class Solov2Head(nn.Module):
    """Predicts, for each cell of each level's grid, category logits and a dynamic mask kernel."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = architecture
        self.grids = a.grids
        self.cls_convs = self._tower(a, a.fpn_channels)
        self.kernel_convs = self._tower(a, a.fpn_channels + 2)
        self.conv_cls = nn.Conv2d(a.head_channels, a.classes, 3, padding=1)
        self.conv_kernel = nn.Conv2d(a.head_channels, a.kernel_channels, 3, padding=1)
        self.mask_feature_head = MaskFeatureHead(
            a.fpn_channels,
            a.mask_hidden_channels,
            a.kernel_channels,
            a.deformable if a.deformable and a.deformable.mask_features else None,
        )

    @staticmethod
    def _tower(a: Architecture, inputs: int) -> nn.ModuleList:
        plain = a.head_convolutions - (a.deformable.head_convolutions if a.deformable else 0)
        return nn.ModuleList(
            ConvolutionNorm(
                a.head_channels if i else inputs, a.head_channels, deformable=a.deformable if i >= plain else None
            )
            for i in range(a.head_convolutions)
        )

    def forward(self, pyramid: list[Tensor]) -> RawOutput:
        """P2 to P5 (or P6) to the raw output."""
        levels = list(pyramid)
        half = F.interpolate(levels[0], scale_factor=0.5, mode="bilinear", align_corners=False)
        levels[0] = half
        if len(levels) == 5:
            levels[4] = resize_bilinear(levels[4], (levels[3].shape[2], levels[3].shape[3]))
        category_logits, kernels = [], []
        for features, grid in zip(levels, self.grids, strict=True):
            kernel = resize_bilinear(with_coordinates(features), (grid, grid))
            category = kernel[:, :-2]
            for convolution in self.cls_convs:
                category = convolution(category)
            for convolution in self.kernel_convs:
                kernel = convolution(kernel)
            category_logits.append(self.conv_cls(category))
            kernels.append(self.conv_kernel(kernel))
        return RawOutput(category_logits, kernels, self.mask_feature_head(pyramid))


def build_backbone(architecture: Architecture) -> MobileNetV2 | ResNet:
    """The bottom-up pathway that an architecture names."""
    deformable = architecture.deformable
    if architecture.backbone == "mobilenet_v2":
        return MobileNetV2()
    if deformable is None:
        return ResNet(architecture.backbone)
    return ResNet(architecture.backbone, deformable.backbone_layers, deformable.modulated)


class Solov2(nn.Module):
    """Backbone, feature pyramid and head."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.backbone = build_backbone(architecture)
        self.neck = FeaturePyramid(self.backbone.channels, architecture.fpn_channels, len(architecture.grids))
        self.mask_head = Solov2Head(architecture)

    def forward(self, images: Tensor) -> RawOutput:
        """Float [N, 3, H, W], normalised, H and W multiples of 32."""
        result: RawOutput = self.mask_head(self.neck(self.backbone(images)))
        return result
