"""Networks that compute in fewer bits than float32, where the operator asks for it."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

Precision = Literal["float32", "bfloat16", "float16"]
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
CAST_BY_AUTOCAST = (nn.Conv2d, nn.Linear)
"""Layers whose weights autocast uses in no other precision; not their subclasses, which may do otherwise."""
BFLOAT16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")
"""As torch names them: x86's, then Arm's."""


def check_precision(precision: Precision, device: torch.device) -> None:
    """Raises ValueError, naming what is missing, where the device has no such arithmetic."""
    if device.type != "cpu":
        return
    if precision == "float16":
        raise ValueError("precision float16 needs a CUDA device; the CPU has float32 and bfloat16")
    found = torch.cpu.get_capabilities()
    if precision == "bfloat16" and not any(found.get(name) for name in BFLOAT16_INSTRUCTIONS):
        name = found.get("cpu_name", "unknown")
        raise ValueError(
            f"precision bfloat16 needs a CPU with AVX512_BF16, AMX or Arm's BF16 instructions, and this one ({name}) "
            "has none; use float32"
        )


def autocast(network: nn.Module, precision: Precision, device: torch.device) -> Callable[..., Any]:
    """The network's forward pass in this precision; all around it stays float32.

    ``float32`` is that on CUDA too: without TensorFloat-32, whose 10 bits would make an answer depend on its batch. The
    others run each forward pass under autocast and hand its outputs on as float32, so that scores, boxes and masks are
    decoded as exactly as ever. Weights that autocast would cast anew in every pass are cast here, for good.
    """
    forward: Callable[..., Any] = network.forward
    if precision == "float32":
        torch.backends.cudnn.allow_tf32 = False
        return forward
    for layer in network.modules():
        if type(layer) in CAST_BY_AUTOCAST:
            layer.to(DTYPES[precision])

    def run(*inputs: Any) -> Any:
        with torch.autocast(device.type, DTYPES[precision]):
            return float32(forward(*inputs))

    return run


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
