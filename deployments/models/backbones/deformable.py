"""Deformable convolution: DCNv1 (Dai et al., ICCV 2017) and DCNv2 (Zhu et al., CVPR 2019)."""

from torch import Tensor, nn
from torchvision.ops import deform_conv2d


class DeformableConv2d(nn.Conv2d):
    """A convolution that reads each of its taps at an offset computed from the input.

    The parameter names are those of mmcv's packs: ``weight``, ``conv_offset.weight`` and ``conv_offset.bias``.
    modulated: also weigh each tap by a computed factor from 0 to 1 (DCNv2).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        *,
        stride: int = 1,
        groups: int = 1,
        bias: bool = False,
        modulated: bool = True,
    ) -> None:
        super().__init__(inputs, outputs, size, stride, padding=size // 2, groups=groups, bias=bias)
        self.taps = size * size
        self.conv_offset = nn.Conv2d(inputs, (3 if modulated else 2) * self.taps, size, stride, padding=size // 2)
        nn.init.zeros_(self.conv_offset.weight)
        nn.init.zeros_(self.conv_offset.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Float [N, inputs, h, w] to [N, outputs, h / stride, w / stride]."""
        found = self.conv_offset(x)
        offsets, factors = found[:, : 2 * self.taps], found[:, 2 * self.taps :]
        mask = factors.sigmoid() if factors.shape[1] else None
        result: Tensor = deform_conv2d(x, offsets, self.weight, self.bias, self.stride, self.padding, mask=mask)
        return result
