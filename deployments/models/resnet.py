"""ResNet (He et al., CVPR 2016) as a feature pyramid's bottom-up pathway."""

from torch import Tensor, nn
from torchvision.models import resnet


class ResNet(nn.Module):
    """torchvision's ResNet without its classifier, keys unchanged; the stride is in the 3x3 convolution."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        whole = getattr(resnet, f"resnet{depth}")(weights=None)
        self.conv1, self.bn1, self.relu, self.maxpool = whole.conv1, whole.bn1, whole.relu, whole.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = whole.layer1, whole.layer2, whole.layer3, whole.layer4
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
