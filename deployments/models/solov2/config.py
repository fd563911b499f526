"""What distinguishes one SOLOv2 from another: data, not code."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Backbone = Literal["mobilenet_v2", "resnet18", "resnet34", "resnet50", "resnet101"]


class Architecture(BaseModel):
    """The shape of a SOLOv2 network; the defaults are mmdetection's ``solov2_r50_fpn_1x_coco``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backbone: Backbone = "resnet50"
    classes: int = Field(default=80, ge=1)
    fpn_channels: int = 256
    head_channels: int = 512
    head_convolutions: int = 4
    kernel_channels: int = 256
    """Channels of a dynamic 1x1 kernel, and so of the mask feature map."""
    mask_hidden_channels: int = 128
    grids: tuple[int, ...] = (40, 36, 24, 16, 12)
    """Cells a side, finest level first: four levels (P2 to P5) or five (P2 to P6)."""

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
