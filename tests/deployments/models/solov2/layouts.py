"""Random weights of every variant, in the files of every family."""

import pickle
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from deployments.models.solov2.config import Architecture, Deformable
from deployments.models.solov2.key_maps import Kind
from deployments.models.solov2.network import Solov2

SLIM = {"fpn_channels": 32, "head_channels": 32, "kernel_channels": 32, "mask_hidden_channels": 32}
LIGHT = SLIM | {"head_convolutions": 2}
DCN_V1 = Deformable(modulated=False, head_convolutions=1, mask_features=False)
LIGHT_DCN_V2 = Deformable(head_convolutions=1, mask_features=False)
PADDLE_DCN = Deformable(head_convolutions=1, bias=True)

VARIANTS: dict[tuple[Kind, str], Architecture] = {
    ("mmdetection", "r50"): Architecture(**SLIM),
    ("mmdetection", "r101"): Architecture(backbone="resnet101", **SLIM),
    ("mmdetection", "light_r18"): Architecture(backbone="resnet18", **LIGHT),
    ("mmdetection", "light_r34"): Architecture(backbone="resnet34", **LIGHT),
    ("mmdetection", "light_r50"): Architecture(**LIGHT),
    ("mmdetection", "light_r50_dcn"): Architecture(deformable=LIGHT_DCN_V2, **SLIM | {"head_convolutions": 3}),
    ("mmdetection", "r101_dcn"): Architecture(backbone="resnet101", deformable=Deformable(), **SLIM),
    ("mmdetection", "x101_dcn"): Architecture(backbone="resnext101_64x4d", deformable=Deformable(), **SLIM),
    ("mmdetection", "mobilenet_v2"): Architecture(backbone="mobilenet_v2", classes=3, **LIGHT),
    ("solo", "r50"): Architecture(**SLIM),
    ("solo", "light_r34"): Architecture(backbone="resnet34", **LIGHT),
    ("solo", "light_512_r50_dcn"): Architecture(deformable=DCN_V1, **SLIM | {"head_convolutions": 3}),
    ("solo", "r101_dcn"): Architecture(backbone="resnet101", deformable=Deformable(), **SLIM),
    ("paddledetection", "r50"): Architecture(**SLIM),
    ("paddledetection", "r50_enhance"): Architecture(
        backbone="resnet50_vd", deformable=PADDLE_DCN, **SLIM | {"head_convolutions": 3}
    ),
    ("paddledetection", "r101_vd_dcn"): Architecture(backbone="resnet101_vd", deformable=Deformable(bias=True), **SLIM),
}


def random_state(architecture: Architecture) -> dict[str, Tensor]:
    """float16, to halve the files; every value exact in float32."""
    with torch.device("meta"):
        shapes = {key: (tensor.shape, tensor.dtype) for key, tensor in Solov2(architecture).state_dict().items()}
    torch.manual_seed(0)
    state = {
        key: torch.randn(shape).half() if dtype.is_floating_point else torch.tensor(0)
        for key, (shape, dtype) in shapes.items()
    }
    # A variance is not negative, and weights of a common size keep the network's numbers finite.
    return {
        key: tensor.abs() + 0.5 if key.endswith("running_var") else tensor / 16 if tensor.ndim > 1 else tensor
        for key, tensor in state.items()
    }


def write(path: Path, kind: Kind, state: dict[str, Tensor]) -> None:
    """Write a state with our keys as a family's training would."""
    if kind == "paddledetection":
        arrays = {name: state[key].numpy() for key, names in paddle_keys(state).items() for name in names}
        path.write_bytes(pickle.dumps(arrays | {"StructuredToParameterName@@": dict.fromkeys(arrays, "x")}, 4))
    elif kind == "solo":
        content = {"meta": {"epoch": 36}, "state_dict": {solo_key(key): tensor for key, tensor in state.items()}}
        torch.save(content, path, _use_new_zipfile_serialization=False)
    else:
        torch.save({"meta": {"epoch": 12}, "state_dict": state}, path)


def solo_key(key: str) -> str:
    key = key.replace("mask_head.mask_feature_head.conv_pred.", "mask_feat_head.conv_pred.0.")
    key = key.replace("mask_head.mask_feature_head.", "mask_feat_head.")
    key = key.replace("mask_head.conv_cls.", "bbox_head.solo_cate.").replace("cls_convs", "cate_convs")
    return key.replace("mask_head.conv_kernel.", "bbox_head.solo_kernel.").replace("mask_head.", "bbox_head.")


STEM = {"0": "conv1_1.conv", "1": "conv1_1.norm", "3": "conv1_2.conv", "4": "conv1_2.norm", "6": "conv1_3.conv"}


def paddle_keys(state: Iterable[str]) -> dict[str, list[str]]:
    """The name or names that PaddleDetection gives each of a state's keys."""
    keys = [key for key in state if not key.endswith("num_batches_tracked")]
    refined = "backbone.conv1.0.weight" in keys
    # where a stage has more than ten blocks, numbers follow the letter b
    long_stage = "backbone.layer3.10.conv1.weight" in keys
    deformable = {key.removesuffix("_offset.weight") for key in keys if key.endswith(".conv.conv_offset.weight")}
    deformable = {key.removesuffix(".conv") for key in deformable}
    return {
        key: _paddle_backbone(key, refined, long_stage)
        if key.startswith("backbone.")
        else _paddle_head(key, key.rpartition(".")[0] in deformable)
        for key in keys
    }


def _paddle_head(key: str, deformable: bool) -> list[str]:
    part, _, rest = key.partition(".")
    if part == "neck":
        side, level, _, leaf = rest.split(".")
        number = int(level) + 2
        if side == "fpn_convs":
            return [f"neck.fpn_res{number}_sum.{leaf}"]
        return [f"neck.fpn_inner_res{number}_sum{'' if number == 5 else '_lateral'}.{leaf}"]
    rest = rest.replace(".gn.", ".norm.")
    if deformable:
        rest = rest.replace(".conv.", ".conv.conv_dcn.")
    if rest.startswith("mask_feature_head."):
        rest = rest.removeprefix("mask_feature_head.")
        if rest.startswith("conv_pred."):
            leaf = rest.removeprefix("conv_pred.")
            return [f"mask_head.mask_feat_head.conv_pred.0.{leaf}", f"mask_head.conv_pred.{leaf}"]
        return [f"mask_head.conv_pre_feat{rest.split('.')[1]}.mask_feat_head.{rest}"]
    if rest.startswith(("conv_cls.", "conv_kernel.")):
        rest = rest.replace("conv_cls", "solo_cate").replace("conv_kernel", "solo_kernel")
        return [f"solov2_head.bbox_head.{rest}", f"solov2_head.{rest}"]
    return ["solov2_head.bbox_head." + rest.replace("cls_convs", "cate_convs")]


def _paddle_backbone(key: str, refined: bool, long_stage: bool) -> list[str]:
    name = _paddle_layer(key.removeprefix("backbone."), refined, long_stage)
    return [name.replace("running_mean", "_mean").replace("running_var", "_variance")]


def _paddle_layer(rest: str, refined: bool, long_stage: bool) -> str:
    words = rest.split(".")
    if words[0] == "conv1":
        return f"backbone.conv1.{STEM[words[1]]}.{words[2]}" if refined else f"backbone.conv1.conv1.conv.{words[1]}"
    if words[0] == "bn1":
        return f"backbone.conv1.{'conv1_3' if refined else 'conv1'}.norm.{words[1]}"
    stage = int(words[0].removeprefix("layer")) + 1
    block, piece, leaf = int(words[1]), words[2], ".".join(words[3:])
    name = chr(ord("a") + block) if not (long_stage and stage == 4 and block) else f"b{block}"
    return f"backbone.res{stage}.res{stage}{name}.{_paddle_piece(piece, leaf, stage, refined)}"


def _paddle_piece(piece: str, leaf: str, stage: int, refined: bool) -> str:
    if piece == "downsample":
        index, leaf = leaf.split(".")
        prefix = "short.conv" if refined and stage > 2 else "short"
        return f"{prefix}.{'conv' if int(index) == refined else 'norm'}.{leaf}"
    branch = f"branch2{'abc'[int(piece[-1]) - 1]}"
    if leaf.startswith("conv_offset"):
        return f"{branch}.{leaf}"
    return f"{branch}.{'conv' if piece.startswith('conv') else 'norm'}.{leaf}"
