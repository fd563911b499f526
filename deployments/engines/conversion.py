"""From a torch module to OpenVINO's form of it."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_flatten, tree_leaves, tree_unflatten

from deployments.engines.openvino_runtime import openvino


class GroupNorm(nn.Module):
    """torch's, in operations that OpenVINO's CPU plugin runs on channels-last memory.

    Its own group norm takes planar memory only: every convolution's output would be reordered for it, and back.
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        self.groups, self.channels, self.eps = norm.num_groups, norm.num_channels, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        """Float [N, C, h, w] to the same shape."""
        mean = self._over_groups(x)
        variance = self._over_groups((x - mean) ** 2)
        scale = self.weight.view(1, -1, 1, 1) * torch.rsqrt(variance + self.eps)
        return x * scale + (self.bias.view(1, -1, 1, 1) - mean * scale)

    def _over_groups(self, x: Tensor) -> Tensor:
        """The mean of each channel's group, float [N, C, 1, 1]."""
        size = self.channels // self.groups
        means = x.mean(dim=(2, 3)).view(-1, self.groups, size).mean(dim=2, keepdim=True)
        return means.expand(-1, -1, size).reshape(-1, self.channels, 1, 1)


class Flattened(nn.Module):
    """A network that takes and gives tensors one by one, not in lists or dicts."""

    def __init__(self, network: nn.Module, inputs: TreeSpec) -> None:
        super().__init__()
        self.network = network
        self.inputs = inputs

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(tree_leaves(self.network(*tree_unflatten(list(tensors), self.inputs))))


def convert(network: nn.Module, smaller: tuple[Any, ...], larger: tuple[Any, ...]) -> openvino.Model:
    """Trace a network in evaluation mode.

    smaller, larger: two examples of its inputs; axes in which they differ stay free. Raises what the trace or OpenVINO
    raises where an operation has no counterpart. That the result holds for other sizes than ``smaller`` is not checked.
    """
    tensors, structure = tree_flatten(smaller)
    traced = Flattened(_replaced(deepcopy(network)), structure).eval().to(memory_format=torch.contiguous_format)
    with warnings.catch_warnings(), _same_logging(), torch.no_grad():
        warnings.simplefilter("ignore")  # the trace's, about sizes that it takes for constants
        model = openvino.convert_model(traced, example_input=tuple(tensors))
    model.reshape(dict(enumerate(free_axes(tensors, tree_leaves(larger)))))
    return model


@contextmanager
def _same_logging() -> Iterator[None]:
    """OpenVINO's converter sets the root logger's level, for all of the process."""
    root = logging.getLogger()
    level, filters, handlers = root.level, root.filters[:], root.handlers[:]
    try:
        yield
    finally:
        root.setLevel(level)
        root.filters, root.handlers = filters, handlers


def free_axes(smaller: Sequence[Tensor], larger: Sequence[Tensor]) -> list[list[int]]:
    """Each tensor's shape, with -1 where the two differ."""
    return [
        [a if a == b else -1 for a, b in zip(one.shape, other.shape, strict=True)]
        for one, other in zip(smaller, larger, strict=True)
    ]


def _replaced(network: nn.Module) -> nn.Module:
    for name, child in network.named_children():
        setattr(network, name, GroupNorm(child) if isinstance(child, nn.GroupNorm) else _replaced(child))
    return network
