"""What a replica needs of a model, whatever its architecture."""

from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from deployments.calls import Item
from deployments.engines.equip import Example
from deployments.models.card import ModelCard
from deployments.models.device import Normalizer
from deployments.results import Results

Batch = TypeVar("Batch")
Raw = TypeVar("Raw")


class Model(Protocol, Generic[Batch, Raw]):
    """A network with its way in and its way out.

    ``collate`` is called by one thread at a time, ``run`` by ``lanes`` at once, ``finish`` by any number.
    """

    card: ModelCard
    device: torch.device
    normalize: Normalizer
    """Between the pixels of an item and the network; with another one the same network is fed other numbers."""

    lanes: int
    """Runs at a time; 1 until an engine says more."""

    def examples(self, images: Tensor) -> list[Example]:
        """Each network, in evaluation mode, with what it is called with for ``images``: float [N, 3, H, W], normalised.

        A network takes and gives tensors, which other code decodes: an engine and a precision apply to it alone.
        """

    def padded_shape(self, item: Item) -> tuple[int, int]:
        """Height and width in pixels that the network sees; only items of equal shape share a batch."""

    def collate(self, items: list[Item]) -> Batch:
        """Bring items of one padded shape to the device."""

    def run(self, batch: Batch) -> list[Raw]:
        """Run the network: one raw result an item, in order, on the CPU."""

    def finish(self, item: Item, raw: Raw) -> Results:
        """Turn a raw result into values in pixels of the original image."""
