"""MobileNetV2 (Sandler et al., CVPR 2018) as a feature pyramid's bottom-up pathway."""

import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2

STAGE_ENDS = (3, 6, 13, 17)
"""Index of torchvision's last block at strides 4, 8, 16 and 32."""


class MobileNetV2(nn.Module):
    """torchvision's ``mobilenet_v2`` without its classifier; keys ``features.0`` to ``features.17`` unchanged."""

    channels = (24, 32, 96, 320)

    def __init__(self) -> None:
        super().__init__()
        # On the meta device its random initial weights would import torch's compiler, a second and 95 MB.
        with torch.device("cpu"):
            features = mobilenet_v2(weights=None).features[: STAGE_ENDS[-1] + 1]
        self.features = features.to(torch.get_default_device())

    def forward(self, images: Tensor) -> list[Tensor]:
        """Float [N, 3, H, W], normalised RGB, to the features C2 to C5 at strides 4, 8, 16 and 32."""
        stages = []
        x = images
        for index, block in enumerate(self.features):
            x = block(x)
            if index in STAGE_ENDS:
                stages.append(x)
        return stages
