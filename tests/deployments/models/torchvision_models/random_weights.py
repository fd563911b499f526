"""Weights with which an untrained network finds something, with scores that are far apart."""

import torch
from torch import Tensor

FACTORS = {
    "bn3.weight": 0.3,  # of residual branches, that activations may not grow
    "scale_weight": 20.0,
    "bbox_pred": 0.1,  # what moves boxes, that they may stay boxes
    "bbox_reg": 0.1,
    "regression_head": 0.1,
    "cls_score": 0.02,  # what makes scores, that they may not all be 1
    "cls_logits": 0.05,
    "classification_head.module_list": 0.03,
}


def random_state(shapes: dict[str, Tensor], seed: int = 0) -> dict[str, Tensor]:
    """Values for a state with tensors of these shapes and dtypes."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, like in shapes.items():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.zeros((), dtype=torch.int64)
            continue
        if key.endswith(("running_var", "scale_weight")) or (like.ndim == 1 and key.endswith("weight")):
            values = torch.rand(like.shape, generator=generator) + 0.5
        else:
            inputs = like[0].numel() if like.ndim > 1 else 100
            values = torch.randn(like.shape, generator=generator) * (2 / inputs) ** 0.5
        for part, factor in FACTORS.items():
            values *= factor if part in key else 1
        state[key] = values
    return state
