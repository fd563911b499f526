"""Networks must give numbers: NaN is neither above a threshold nor below, and would pass for "nothing found"."""

import math
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from torch import Tensor


class NotFinite(ArithmeticError):
    """A network gave NaN or infinity."""


def finite(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A forward pass that raises NotFinite as ``require_finite`` does."""

    @wraps(forward)
    def checked(*inputs: Any) -> Any:
        outputs = forward(*inputs)
        require_finite(outputs)
        return outputs

    return checked


def require_finite(outputs: Any) -> None:
    """Raise NotFinite for NaN or infinity in tensors, or in lists, tuples and dicts of them."""
    # A sum keeps what is not finite, and takes a fortieth of looking at each number. One sum over all tensors, since
    # a device has to be waited for.
    if not math.isfinite(sum((tensor.detach().sum() for tensor in _floating(outputs)), start=0.0)):
        raise NotFinite("the network gave NaN or infinity")


def _floating(outputs: Any) -> Iterator[Tensor]:
    if isinstance(outputs, Tensor):
        if outputs.is_floating_point():
            yield outputs
    elif isinstance(outputs, dict):
        for value in outputs.values():
            yield from _floating(value)
    elif isinstance(outputs, list | tuple):
        for value in outputs:
            yield from _floating(value)
