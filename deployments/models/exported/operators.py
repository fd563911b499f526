"""The operators that an exported program may call: those of torch and torchvision that only compute."""

import math
import operator
import re
from collections.abc import Callable
from typing import Any

import torch
import torchvision  # noqa: F401  # registers its operators

Operator = Callable[..., Any]

ARITHMETIC = (
    "add",
    "and_",
    "eq",
    "floordiv",
    "ge",
    "gt",
    "le",
    "lt",
    "mod",
    "mul",
    "ne",
    "neg",
    "or_",
    "pos",
    "pow",
    "sub",
)
SYMBOLIC: dict[str, Operator] = {
    **{f"_operator.{name}": getattr(operator, name) for name in (*ARITHMETIC, "truediv")},
    **{
        f"torch.sym_{name}": getattr(torch, f"sym_{name}")
        for name in ("float", "int", "ite", "max", "min", "not", "sqrt")
    },
    "math.trunc": math.trunc,
}
"""Arithmetic on sizes."""
REFUSED = {"aten::_print", "aten::from_file", "aten::save", "aten::warn"}
"""All of torch's own that do more than compute: they read and write files and the log."""


def find_operator(target: str) -> Operator:
    """The operator that a program calls by its full name, such as ``torch.ops.aten.conv2d.default``.

    Raises ValueError where there is none or it is not one that a program may call.
    """
    if target in SYMBOLIC:
        return SYMBOLIC[target]
    if match := re.fullmatch(r"torch\.ops\.(aten|torchvision)\.(\w+)\.(\w+)", target):
        namespace, name, overload = match.groups()
        found = getattr(getattr(getattr(torch.ops, namespace), name, None), overload, None)
        if isinstance(found, torch._ops.OpOverload) and f"{namespace}::{name}" not in REFUSED:
            return found
    hint = "; exporting under torch.no_grad() may avoid it" if target.startswith("torch.ops.higher_order.") else ""
    raise ValueError(f"the program calls {target[:100]}, which is not one of the operators that it may call{hint}")
