"""SOLOv2 checkpoints of every family: their weights by our names, their architecture and their preprocessing."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from deployments.imaging.spec import ImageSpec, KeepRatio
from deployments.models.checkpoints.state_keys import Shapes, check_keys
from deployments.models.checkpoints.tensor_files import read_tensor_file
from deployments.models.solov2.config import Architecture, Backbone, Deformable
from deployments.models.solov2.key_maps import Kind, detect, rename
from deployments.models.solov2.network import Solov2

MOST_TENSORS = 10_000
"""The largest model that we have stays below a thousand and a half."""
DEPTHS: dict[tuple[bool, int], Backbone] = {
    (False, 2): "resnet18",
    (False, 6): "resnet34",
    (True, 6): "resnet50",
    (True, 23): "resnet101",
}
"""By whether blocks are bottlenecks, and the number of them in the third layer."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """state: complete for ``Solov2(architecture)``, floats in float32; labels: class names, if the file states them."""

    architecture: Architecture
    state: dict[str, Tensor]
    image_spec: ImageSpec
    kind: Kind
    labels: tuple[str, ...] = ()


def read_checkpoint(path: Path, stated: Architecture | None = None) -> Checkpoint:
    """Read a SOLOv2 of mmdetection 3, the original SOLO, PaddleDetection, or our own safetensors; no code is run.

    stated: what a model card says that the file holds. What the keys and shapes cannot tell is the family's published
    default: the size that pictures are resized to, and the grids where they are not stated. Raises ValueError where the
    file is no such checkpoint; does not fit together: then it lists the keys that are missing, unexpected and of the
    wrong shape; or is of another architecture than stated.
    """
    file = read_tensor_file(path)
    try:
        if len(file.tensors) > MOST_TENSORS:
            raise ValueError(f"{len(file.tensors)} tensors, more than any SOLOv2 has")
        kind = detect(file.tensors)
        state = _renamed(file.tensors, kind)
        shapes = {key: tuple(tensor.shape) for key, tensor in state.items()}
        if "architecture" in file.metadata:
            kind, architecture = "maskgraph", Architecture.model_validate_json(file.metadata["architecture"])
        else:
            architecture = infer_architecture(shapes)
            if stated:
                architecture = architecture.model_copy(update={"grids": stated.grids})
        image = file.metadata.get("image")
        image_spec = ImageSpec.model_validate_json(image) if image else default_image_spec(kind, architecture)
        with torch.device("meta"):
            expected = {key: tuple(tensor.shape) for key, tensor in Solov2(architecture).state_dict().items()}
        for key in expected.keys() - state.keys():
            if key.endswith("num_batches_tracked"):  # only training reads it, and PaddlePaddle has none
                state[key], shapes[key] = torch.tensor(0), ()
        check_keys(expected, shapes, "a SOLOv2")
        if stated:
            _check_stated(stated, architecture)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error
    return Checkpoint(architecture, {key: state[key] for key in expected}, image_spec, kind, file.labels)


def _check_stated(stated: Architecture, found: Architecture) -> None:
    differences = [
        f"{name} {here!r} instead of {there!r}"
        for (name, there), (_, here) in zip(stated, found, strict=True)
        if here != there
    ]
    if differences:
        raise ValueError("the file has another network than the model card: " + ", ".join(differences))


def _renamed(tensors: Mapping[str, Tensor], kind: Kind) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for key, name in rename(tensors, kind).items():
        tensor = tensors[key].float() if tensors[key].is_floating_point() else tensors[key]
        # PaddleDetection registers some layers twice
        if name in state and not torch.equal(state[name], tensor):
            raise ValueError(f"two different tensors for {name}")
        state[name] = tensor
    return state


def infer_architecture(shapes: Shapes) -> Architecture:
    """The architecture of a state with our keys; where a key is missing, the default takes its place.

    Raises ValueError where the backbone is none that we have, or a width is out of bounds.
    """

    def size(key: str, axis: int, default: int) -> int:
        shape = shapes.get(key, ())
        return shape[axis] if len(shape) > axis else default

    return Architecture(
        backbone=infer_backbone(shapes),
        classes=size("mask_head.conv_cls.weight", 0, 80),
        fpn_channels=size("neck.lateral_convs.0.conv.weight", 0, 256),
        head_channels=size("mask_head.conv_cls.weight", 1, 512),
        head_convolutions=_count(shapes, r"mask_head\.cls_convs\.(\d+)\.") or 4,
        kernel_channels=size("mask_head.conv_kernel.weight", 0, 256),
        mask_hidden_channels=size("mask_head.mask_feature_head.conv_pred.conv.weight", 1, 128),
        deformable=infer_deformable(shapes),
    )


def infer_backbone(shapes: Shapes) -> Backbone:
    """Told by the number of blocks, the stem and the width of the first block."""
    if "backbone.features.0.0.weight" in shapes:
        return "mobilenet_v2"
    bottleneck = "backbone.layer1.0.conv3.weight" in shapes
    blocks = _count(shapes, r"backbone\.layer3\.(\d+)\.")
    name = DEPTHS.get((bottleneck, blocks))
    if name is None:
        raise ValueError(f"a backbone with {blocks} {'bottleneck ' if bottleneck else ''}blocks in its third layer")
    if shapes.get("backbone.layer1.0.conv1.weight", ())[:1] == (256,) and name == "resnet101":
        return "resnext101_64x4d"
    if "backbone.conv1.0.weight" in shapes:
        return "resnet101_vd" if name == "resnet101" else "resnet50_vd"
    return name


def infer_deformable(shapes: Shapes) -> Deformable | None:
    """Told by the convolutions that compute offsets: 2 outputs a tap in DCNv1, 3 in DCNv2."""
    offsets = {key: shape for key, shape in shapes.items() if key.endswith(".conv_offset.weight") and len(shape) == 4}
    if not offsets:
        return None
    outputs, _, height, width = next(iter(offsets.values()))
    return Deformable.model_validate(
        {
            "modulated": outputs == 3 * height * width,
            "backbone_layers": sorted({int(m[1]) for key in offsets if (m := re.match(r"backbone\.layer(\d)\.", key))}),
            "head_convolutions": sum(key.startswith("mask_head.cls_convs.") for key in offsets),
            "mask_features": any(key.startswith("mask_head.mask_feature_head.") for key in offsets),
            "bias": any(re.match(r"mask_head\..*\.conv\.bias$", key) for key in shapes),
        }
    )


def _count(keys: Iterable[str], pattern: str) -> int:
    """One more than the largest number that the pattern's group takes."""
    return 1 + max((int(m[1][:6]) for key in keys if (m := re.match(pattern, key))), default=-1)


def default_image_spec(kind: Kind, architecture: Architecture) -> ImageSpec:
    """The preprocessing of a family's published model of this shape.

    PaddleDetection normalises before it resizes. Both are linear, so the order makes no difference but that we round
    to grey levels in between.
    """
    if architecture.head_channels > 256:
        resize = KeepRatio(rule="keep_ratio", short_side=800, long_side=1333)
    elif architecture.deformable and kind != "mmdetection":
        resize = KeepRatio(rule="keep_ratio", short_side=512, long_side=852)
    else:
        resize = KeepRatio(rule="keep_ratio", short_side=448, long_side=768)
    paddle = kind == "paddledetection"
    return ImageSpec(
        color_order="rgb",
        resize=resize,
        interpolation="opencv_bilinear",
        pad_multiple=32,
        mean=(0.485, 0.456, 0.406) if paddle else (123.675, 116.28, 103.53),
        std=(0.229, 0.224, 0.225) if paddle else (58.395, 57.12, 57.375),
        scale=1 / 255 if paddle else 1.0,
    )
