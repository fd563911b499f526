"""torchvision's detection networks by name, with their weights from a file."""

import re
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torchvision.models import detection

from deployments.models.card import Task
from deployments.models.checkpoints.state_keys import check_keys
from deployments.models.checkpoints.tensor_files import read_tensor_file

ModelName = Literal[
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "maskrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn_v2",
    "retinanet_resnet50_fpn",
    "retinanet_resnet50_fpn_v2",
    "ssd300_vgg16",
    "ssdlite320_mobilenet_v3_large",
]
OLD_NAMES = (
    (re.compile(r"(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.(weight|bias)"), r"\1.0.\2"),
    (re.compile(r"(rpn\.head\.conv)\.(weight|bias)"), r"\1.0.0.\2"),
    (re.compile(r"(roi_heads\.mask_head)\.mask_fcn(?P<number>[1-4])\.(weight|bias)"), r"\1.{mask_fcn}.0.\3"),
    (re.compile(r"(head\.\w+_head\.conv)\.(?P<number>[0246])\.(weight|bias)"), r"\1.{conv}.0.\3"),
)
"""Parameters in files from before torchvision 0.13, such as those of its published first weights."""


class Network(BaseModel):
    """Arguments of this architecture in a model card."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model: ModelName
    """The function in ``torchvision.models.detection``."""
    detections_per_image: int | None = Field(default=None, ge=1, le=1000)
    """Objects at most; None is torchvision's number: 100 of the R-CNNs, 200 of SSD300, 300 of the others."""
    batch_norm_eps: float | None = Field(default=None, ge=0)
    """Of the backbone's batch norms; 0 for torchvision's published weights whose names have no ``v2``, except SSD's."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Those that the network is for."""
        if self.model.startswith("maskrcnn"):
            return ("instance_segmentation",)
        return ("object_detection", "mask_detection")


def build(network: Network, labels: int) -> nn.Module:
    """The network on the meta device, for evaluation. labels: without the background, which torchvision counts."""
    make = getattr(detection, network.model)
    with torch.device("meta"):
        built: Any = make(weights=None, weights_backbone=None, num_classes=labels + 1)
    if network.batch_norm_eps is not None:
        for module in built.backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = network.batch_norm_eps
    module = built.eval()
    assert isinstance(module, nn.Module)
    return module


def load_weights(network: nn.Module, path: Path, name: str) -> None:
    """Fill a network of the meta device from safetensors or torch's .pth; no code is run.

    Raises ValueError where the file is no such file or does not fit: then it lists the keys that are missing,
    unexpected and of the wrong shape. OSError where it cannot be read.
    """
    state = {new_name(key): tensor for key, tensor in read_tensor_file(path).tensors.items()}
    expected = network.state_dict()
    for key, tensor in expected.items():
        if key not in state and key.endswith("num_batches_tracked"):  # only training reads it; frozen norms have none
            state[key] = torch.zeros(tensor.shape, dtype=tensor.dtype)
    try:
        check_keys(_shapes(expected), _shapes(state), f"torchvision's {name} with as many labels")
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error
    network.load_state_dict({key: state[key].to(tensor.dtype) for key, tensor in expected.items()}, assign=True)


def new_name(key: str) -> str:
    """What torchvision calls a parameter today."""
    for pattern, replacement in OLD_NAMES:
        if match := pattern.fullmatch(key):
            number = int(match.groupdict().get("number", 0))
            return match.expand(replacement.format(mask_fcn=number - 1, conv=number // 2))
    return key


def _shapes(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in state.items()}
