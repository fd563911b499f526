"""A torch module's forward pass in OpenVINO."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_flatten, tree_leaves, tree_unflatten

from deployments.engines.conversion import convert
from deployments.engines.openvino_network import OpenVinoNetwork
from deployments.engines.settings import EngineSettings
from deployments.engines.store import Store

TOLERANCE = {"float32": 1e-3, "bfloat16": 0.25}
"""How far an output may be from eager torch's on the example, as a fraction of its largest value. This is no measure of
accuracy: it finds a conversion that is wrong, or holds for the traced size only."""


class OpenVinoEngine:
    """Takes and gives what a module does, from as many threads at a time as its network has lanes."""

    def __init__(self, network: OpenVinoNetwork, outputs: TreeSpec, eager: Callable[..., Any]) -> None:
        """outputs: the form of the module's; eager: its own forward pass, for empty inputs."""
        self._network, self._outputs, self._eager = network, outputs, eager

    def __call__(self, *inputs: Any) -> Any:
        tensors: list[Tensor] = tree_leaves(inputs)
        if not all(tensor.numel() for tensor in tensors):
            return self._eager(*inputs)  # OpenVINO takes no empty tensors
        found = self._network([tensor.detach().numpy() for tensor in tensors])
        return tree_unflatten([torch.from_numpy(array) for array in found], self._outputs)


def accelerate(
    module: nn.Module,
    smaller: tuple[Any, ...],
    larger: tuple[Any, ...],
    settings: EngineSettings,
    store: Store,
    name: str,
) -> OpenVinoEngine:
    """An engine for a module on the CPU, converted now or by an earlier start.

    smaller, larger: two examples of its inputs; axes in which they differ are free; name: of the module in the store.
    Raises what OpenVINO raises where it does not convert the module, ValueError where it then computes something else.
    """
    kept = store.read(name)
    if kept is not None:
        try:
            return _checked(module, larger, OpenVinoNetwork(kept, settings, store.compiled), settings)
        except (RuntimeError, ValueError) as error:
            store.discard(name, str(error))
    converted = convert(module, smaller, larger)
    engine = _checked(module, larger, OpenVinoNetwork(converted, settings, store.compiled), settings)
    store.write(name, converted)
    return engine


def _checked(
    module: nn.Module, example: tuple[Any, ...], network: OpenVinoNetwork, settings: EngineSettings
) -> OpenVinoEngine:
    """An engine of this network, if it computes what the module does."""
    expected, form = tree_flatten(module(*example))
    engine = OpenVinoEngine(network, form, module.forward)
    for ours, theirs in zip(tree_leaves(engine(*example)), expected, strict=True):
        if ours.shape != theirs.shape:
            raise ValueError(f"an output of shape {list(ours.shape)} instead of {list(theirs.shape)}")
        off = float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-6))
        if not off <= TOLERANCE[settings.precision]:
            raise ValueError(f"an output is off by {off:.2g} of its range")
    return engine
