"""What a replica needs of a model, whatever its architecture."""

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

import torch
from torch import nn

from deployments.calls import Item
from deployments.models.card import ModelCard
from deployments.models.device import Normalizer
from deployments.results import Results

Batch = TypeVar("Batch")
Raw = TypeVar("Raw")


class Model(Protocol, Generic[Batch, Raw]):
    """A network with its way in and its way out.

    ``collate`` and ``run`` are each called by one thread at a time; ``finish`` by several at once.
    """

    card: ModelCard
    device: torch.device
    normalize: Normalizer
    """Between the pixels of an item and the network; with another one the same network is fed other numbers."""

    @property
    def networks(self) -> Sequence[nn.Module]:
        """What a lower precision applies to: modules that take tensors and give tensors, which other code decodes.

        Raises ValueError for a model whose precision is not ours to choose, such as an ONNX file.
        """

    def padded_shape(self, item: Item) -> tuple[int, int]:
        """Height and width in pixels that the network sees; only items of equal shape share a batch."""

    def collate(self, items: list[Item]) -> Batch:
        """Bring items of one padded shape to the device."""

    def run(self, batch: Batch) -> list[Raw]:
        """Run the network: one raw result an item, in order, on the CPU."""

    def finish(self, item: Item, raw: Raw) -> Results:
        """Turn a raw result into values in pixels of the original image."""
