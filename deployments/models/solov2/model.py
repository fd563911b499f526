"""A SOLOv2 of a model card, on a device: pictures in, instances out."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from deployments.calls import Item
from deployments.engines.equip import Example
from deployments.models.candidates import Asked, asked, instances
from deployments.models.card import ModelCard
from deployments.models.device import Normalizer, padded_batch, to_cpu
from deployments.models.solov2.checkpoints import read_checkpoint
from deployments.models.solov2.config import Architecture, Inference
from deployments.models.solov2.inference import SoftMasks, asked_for, select
from deployments.models.solov2.mask_changes import MaskChanges, mask_changes
from deployments.models.solov2.network import Solov2
from deployments.results import Instance

Sizes = tuple[tuple[int, int], tuple[int, int]]
"""Height and width in pixels, of a picture as it is sent and of its original."""


@dataclass(frozen=True, slots=True)
class Batch:
    """images: normalised float [N, 3, H, W], zero-padded right and below; asked: of each picture, all where None;
    sizes: of each picture, as ``sizes`` gives them."""

    images: Tensor
    asked: list[Asked] | None = None
    sizes: list[Sizes] = field(default_factory=list)


class Solov2Model:
    """Loads the weights once; each call is independent of the others in its batch.

    The weights are a checkpoint of any family that ``read_checkpoint`` reads. A card that leaves ``network`` empty
    takes the file's; what it does say must be what the file holds. Raises ValueError where card and weights do not fit.
    """

    def __init__(self, card: ModelCard, weights: Path, device: torch.device) -> None:
        self.card = card
        self.device = device
        self.inference = Inference()
        self.normalize = Normalizer(card.image, device)
        checkpoint = read_checkpoint(weights, Architecture.model_validate(card.network) if card.network else None)
        classes = checkpoint.architecture.classes
        if classes != len(card.labels):
            raise ValueError(f"model card {card.name}: {len(card.labels)} labels for {classes} classes")
        self.network = Solov2(checkpoint.architecture)
        self.network.load_state_dict(checkpoint.state)
        self.network.to(device=device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.lanes = 1
        self.masks_on_device = device.type != "cpu"

    def examples(self, images: Tensor) -> list[Example]:
        """The one network."""
        return [(self.network, (images,))]

    def padded_shape(self, item: Item) -> tuple[int, int]:
        """The network's padded input."""
        return self.card.image.padded_size(item.image.shape[0], item.image.shape[1])

    @torch.inference_mode()
    def collate(self, items: list[Item]) -> Batch:
        """Pad, send to the device, normalise."""
        pictures = [item.image for item in items]
        images = padded_batch(pictures, *self.padded_shape(items[0]), self.normalize, self.device)
        return Batch(images, [self._asked(item) for item in items], list(map(sizes, items)))

    @torch.inference_mode()
    def run(self, batch: Batch) -> list[SoftMasks] | list[MaskChanges]:
        """Instances of each picture: of a GPU those that its request asks for, with their masks at the original size;
        on the CPU masks are still at a quarter of the input's size."""
        raw = self.network(batch.images)
        found = select(raw, self.network.architecture.mask_strides, self.inference, batch.asked)
        if not self.masks_on_device:
            return found
        assert batch.asked
        parts = zip(found, batch.asked, batch.sizes, strict=True)
        threshold = self.inference.mask_threshold
        return to_cpu([mask_changes(asked_for(one, wanted), *both, threshold) for one, wanted, both in parts])

    @torch.inference_mode()
    def finish(self, item: Item, raw: SoftMasks | MaskChanges) -> list[Instance]:
        """Instances that the request asks for, best first, masks at the original size."""
        resized, original = sizes(item)
        if isinstance(raw, SoftMasks):
            raw = mask_changes(asked_for(raw, self._asked(item)), resized, original, self.inference.mask_threshold)
        return instances(raw.scores, raw.labels, raw.rles(original), self.card.labels)

    def _asked(self, item: Item) -> Asked:
        return asked(item.call.options, self.card.thresholds, self.card, self.inference.kept)


def sizes(item: Item) -> Sizes:
    """Of an item's picture."""
    return (item.image.shape[0], item.image.shape[1]), (item.call.height, item.call.width)
