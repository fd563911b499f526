"""Parameter names of other SOLOv2 implementations, and ours: mmdetection's."""

import re
from collections.abc import Iterable, Sequence
from typing import Literal

Kind = Literal["maskgraph", "mmdetection", "solo", "paddledetection"]
Renaming = Sequence[tuple[str, str]]

SOLO: Renaming = (
    (r"^bbox_head\.cate_convs\.", "mask_head.cls_convs."),
    (r"^bbox_head\.kernel_convs\.", "mask_head.kernel_convs."),
    (r"^bbox_head\.solo_cate\.", "mask_head.conv_cls."),
    (r"^bbox_head\.solo_kernel\.", "mask_head.conv_kernel."),
    (r"^mask_feat_head\.conv_pred\.0\.", "mask_head.mask_feature_head.conv_pred."),
    (r"^mask_feat_head\.", "mask_head.mask_feature_head."),
)
PADDLE: Renaming = (
    (r"^solov2_head\.(?:bbox_head\.)?solo_cate\.", "mask_head.conv_cls."),
    (r"^solov2_head\.(?:bbox_head\.)?solo_kernel\.", "mask_head.conv_kernel."),
    (r"^solov2_head\.bbox_head\.cate_convs\.", "mask_head.cls_convs."),
    (r"^solov2_head\.bbox_head\.kernel_convs\.", "mask_head.kernel_convs."),
    (r"^mask_head\.conv_pre_feat\d\.mask_feat_head\.", "mask_head.mask_feature_head."),
    (r"^mask_head\.(?:mask_feat_head\.conv_pred\.0|conv_pred)\.", "mask_head.mask_feature_head.conv_pred."),
    (r"^(mask_head\..*)\.norm\.", r"\1.gn."),
    (r"^(mask_head\..*)\.conv_dcn\.", r"\1."),
    (r"^neck\.fpn_inner_res(\d)_sum(?:_lateral)?\.", r"neck.lateral_convs.res\1.conv."),
    (r"^neck\.fpn_res(\d)_sum\.", r"neck.fpn_convs.res\1.conv."),
    (r"^backbone\.conv1\.conv1\.conv\.", "backbone.conv1."),
    (r"^backbone\.conv1\.conv1\.norm\.", "backbone.bn1."),
    # the stem of a ResNet-D: convolutions and norms take turns with ReLUs, the last norm stands apart
    (r"^backbone\.conv1\.conv1_3\.norm\.", "backbone.bn1."),
    (r"^backbone\.conv1\.conv1_1\.conv\.", "backbone.conv1.0."),
    (r"^backbone\.conv1\.conv1_1\.norm\.", "backbone.conv1.1."),
    (r"^backbone\.conv1\.conv1_2\.conv\.", "backbone.conv1.3."),
    (r"^backbone\.conv1\.conv1_2\.norm\.", "backbone.conv1.4."),
    (r"^backbone\.conv1\.conv1_3\.conv\.", "backbone.conv1.6."),
    (r"^backbone\.res\d\.(res\d[a-z]\d*)\.", r"backbone.\1."),
    (r"\.branch2([abc])\.conv\.", r".conv\1."),
    (r"\.branch2([abc])\.norm\.", r".bn\1."),
    (r"\.branch2([abc])\.conv_offset\.", r".conv\1.conv_offset."),
    (r"\._mean$", ".running_mean"),
    (r"\._variance$", ".running_var"),
)
"""Leaves ``res2`` to ``res5`` and letters, which ``_paddle_numbers`` turns into numbers, and ``short``."""


def detect(keys: Iterable[str]) -> Kind:
    """Which implementation named these parameters. Raises ValueError if none did."""
    known = set(keys)
    if any(key.startswith("solov2_head.") for key in known):
        return "paddledetection"
    if any(key.startswith(("bbox_head.solo_", "bbox_head.cate_convs.", "mask_feat_head.")) for key in known):
        return "solo"
    if any(key.startswith(("mask_head.conv_cls.", "mask_head.cls_convs.")) for key in known):
        return "mmdetection"
    some = ", ".join(key[:60] for key in sorted(known)[:3])
    raise ValueError(
        f"no SOLOv2 of mmdetection, SOLO or PaddleDetection: {len(known)} tensors, such as {some or 'none'}"
    )


def rename(keys: Iterable[str], kind: Kind) -> dict[str, str]:
    """Our name of each key; a key that follows no rule keeps its own, and so is unexpected later on."""
    names = list(keys)
    if kind == "solo":
        return {key: _apply(SOLO, key) for key in names}
    if kind == "paddledetection":
        refined = any(key.startswith("backbone.conv1.conv1_1.") for key in names)
        return {key: _paddle_numbers(_apply(PADDLE, key), refined) for key in names}
    return {key: key for key in names}


def _apply(rules: Renaming, key: str) -> str:
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key


def _paddle_numbers(key: str, refined: bool) -> str:
    """``res3b.conva`` is ``layer2.1.conv1``; in long stages ``res4b7`` is the block after ``res4b6``.

    refined: a ResNet-D, whose shortcuts begin with a pool.
    """
    key = re.sub(r"^(neck\.\w+)\.res(\d)\.", lambda m: f"{m[1]}.{int(m[2]) - 2}.", key)
    key = re.sub(
        r"^backbone\.res(\d)([a-z])(\d*)\.",
        lambda m: f"backbone.layer{int(m[1]) - 1}.{int(m[3]) if m[3] else ord(m[2]) - ord('a')}.",
        key,
    )
    key = re.sub(r"\.(conv|bn)([abc])\.", lambda m: f".{m[1]}{ord(m[2]) - ord('a') + 1}.", key)
    first = 1 if refined else 0
    key = re.sub(r"\.short\.(?:conv\.)?norm\.", f".downsample.{first + 1}.", key)
    return re.sub(r"\.short\.conv\.(?:conv\.)?", f".downsample.{first}.", key)
