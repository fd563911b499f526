"""Networks that compute in fewer bits than float32, where the operator asks for it."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from deployments.models.model import Model

Precision = Literal["float32", "bfloat16", "float16"]
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def set_precision(model: Model[Any, Any], precision: Precision, device: torch.device) -> None:
    """Let a model's networks compute in this precision; all around them stays float32.

    ``float32`` is that on CUDA too: without TensorFloat-32, whose 10 bits would make an answer depend on its batch. The
    others run each forward pass under autocast and hand its outputs on as float32, so that scores, boxes and masks are
    decoded as exactly as ever. Raises ValueError for float16 on the CPU.
    """
    if precision == "float32":
        torch.backends.cudnn.allow_tf32 = False
        return
    if precision == "float16" and device.type == "cpu":
        raise ValueError("precision float16 needs a CUDA device; the CPU has float32 and bfloat16")
    for network in model.networks:
        _autocast(network, device, DTYPES[precision])


def _autocast(network: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    forward = network.forward

    def run(*inputs: Any) -> Any:
        with torch.autocast(device.type, dtype):
            return float32(forward(*inputs))

    network.forward = run


def float32(outputs: Any) -> Any:
    """The same lists, tuples and dicts with every floating-point tensor in float32."""
    if isinstance(outputs, Tensor):
        return outputs.float() if outputs.is_floating_point() else outputs
    if isinstance(outputs, dict):
        return {key: float32(value) for key, value in outputs.items()}
    if isinstance(outputs, tuple) and hasattr(outputs, "_fields"):
        return type(outputs)(*map(float32, outputs))
    if isinstance(outputs, list | tuple):
        return type(outputs)(map(float32, outputs))
    return outputs
