"""What distinguishes one SOLOv2 from another: data, not code."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Backbone = Literal[
    "mobilenet_v2",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet50_vd",
    "resnet101_vd",
    "resnext101_64x4d",
]
Channels = Annotated[int, Field(ge=1, le=4096)]
NormedChannels = Annotated[int, Field(ge=32, le=4096, multiple_of=32)]
"""Group norm has 32 groups."""


class Deformable(BaseModel):
    """Which convolutions are deformable, and how; the defaults are mmdetection's ``solov2_r101-dcn``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    modulated: bool = True
    """DCNv2; DCNv1 where false."""
    backbone_layers: tuple[Literal[1, 2, 3, 4], ...] = (2, 3, 4)
    """Of a ResNet's layers 1 to 4, those whose 3x3 convolutions are deformable."""
    head_convolutions: int = Field(4, ge=0)
    """How many of the last convolutions before the category logits, and before the kernels."""
    mask_features: bool = True
    """Every convolution of the mask feature head."""
    bias: bool = False
    """Whether those of the head have a bias, as PaddleDetection's do."""


class Architecture(BaseModel):
    """The shape of a SOLOv2 network; the defaults are mmdetection's ``solov2_r50_fpn_1x_coco``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backbone: Backbone = "resnet50"
    classes: int = Field(80, ge=1, le=100_000)
    fpn_channels: Channels = 256
    head_channels: NormedChannels = 512
    head_convolutions: int = Field(4, ge=1, le=16)
    kernel_channels: NormedChannels = 256
    """Channels of a dynamic 1x1 kernel, and so of the mask feature map."""
    mask_hidden_channels: NormedChannels = 128
    grids: tuple[int, ...] = Field(default=(40, 36, 24, 16, 12), min_length=4, max_length=5)
    """Cells a side, finest level first: four levels (P2 to P5) or five (P2 to P6)."""
    deformable: Deformable | None = None

    @property
    def mask_strides(self) -> tuple[int, ...]:
        """Each level's stride in input pixels; a mask smaller than its level's stride is noise."""
        return (8, 8, 16, 32, 32)[: len(self.grids)]


class Inference(BaseModel):
    """Thresholds of SOLOv2's decoding; the defaults are the paper's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    candidate_score: float = 0.1
    mask_threshold: float = 0.5
    candidates: int = 500
    nms_sigma: float = 2.0
    kept_score: float = 0.05
    kept: int = 100
