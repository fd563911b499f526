"""ResNet (He et al., CVPR 2016) as a feature pyramid's bottom-up pathway."""

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models import resnet

from deployments.models.backbones.deformable import DeformableConv2d

LAYERS = ("layer1", "layer2", "layer3", "layer4")


class ResNet(nn.Module):
    """torchvision's ResNet or ResNeXt without its classifier, keys unchanged; the stride is in the 3x3 convolution.

    name: torchvision's constructor; the suffix ``_vd`` makes the stem three 3x3 convolutions and pools before a
    shortcut's projection (ResNet-D of He et al., CVPR 2019), with the keys of timm's ``resnet50d``.
    deformable_layers: 1 to 4, those whose blocks' ``conv2`` is deformable; modulated: by DCNv2, not v1.
    """

    def __init__(self, name: str, deformable_layers: Sequence[int] = (), modulated: bool = True) -> None:
        super().__init__()
        whole = getattr(resnet, name.removesuffix("_vd"))(weights=None)
        if name.endswith("_vd"):
            refine(whole)
        for layer in deformable_layers:
            for block in getattr(whole, f"layer{layer}"):
                old = block.conv2
                block.conv2 = DeformableConv2d(
                    old.in_channels, old.out_channels, 3, stride=old.stride[0], groups=old.groups, modulated=modulated
                )
        self.conv1, self.bn1, self.relu, self.maxpool = whole.conv1, whole.bn1, whole.relu, whole.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = (getattr(whole, layer) for layer in LAYERS)
        widest: int = whole.fc.in_features
        self.channels = (widest // 8, widest // 4, widest // 2, widest)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Float [N, 3, H, W], normalised RGB, to the features C2 to C5 at strides 4, 8, 16 and 32."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        stages = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            stages.append(x)
        return stages


def refine(whole: resnet.ResNet) -> None:
    """Turn a plain ResNet into a ResNet-D, in place."""

    def convolution(inputs: int, outputs: int, stride: int) -> nn.Conv2d:
        return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)

    def norm_relu() -> list[nn.Module]:
        return [nn.BatchNorm2d(32), nn.ReLU(inplace=True)]

    whole.conv1 = nn.Sequential(
        convolution(3, 32, stride=2), *norm_relu(), convolution(32, 32, stride=1), *norm_relu(), convolution(32, 64, 1)
    )
    for layer in LAYERS:
        first = getattr(whole, layer)[0]
        projection, norm = first.downsample
        pool = nn.AvgPool2d(projection.stride, projection.stride, ceil_mode=True, count_include_pad=False)
        first.downsample = nn.Sequential(
            pool, nn.Conv2d(projection.in_channels, projection.out_channels, 1, bias=False), norm
        )
