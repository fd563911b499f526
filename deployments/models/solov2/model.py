"""A SOLOv2 of a model card, on a device: pictures in, instances out."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from deployments.calls import Item
from deployments.engines.equip import Example
from deployments.imaging.masks import encode_rle
from deployments.imaging.rle import rle_area, rle_box
from deployments.models.candidates import Asked, asked, scores_enough
from deployments.models.card import ModelCard
from deployments.models.device import Normalizer, padded_batch
from deployments.models.solov2.checkpoints import read_checkpoint
from deployments.models.solov2.config import Architecture, Inference
from deployments.models.solov2.full_size import full_size_masks
from deployments.models.solov2.inference import SoftMasks, select
from deployments.models.solov2.network import Solov2
from deployments.results import Instance


@dataclass(frozen=True, slots=True)
class Batch:
    """images: normalised float [N, 3, H, W], zero-padded right and below; asked: of each picture, all where None."""

    images: Tensor
    asked: list[Asked] | None = None


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
        return Batch(images, [self._asked(item) for item in items])

    @torch.inference_mode()
    def run(self, batch: Batch) -> list[SoftMasks]:
        """Instances of each picture, masks still at a quarter of the input's size."""
        raw = self.network(batch.images)
        found = select(raw, self.network.architecture.mask_strides, self.inference, batch.asked)
        return [SoftMasks(*(part.cpu() for part in one)) for one in found]

    @torch.inference_mode()
    def finish(self, item: Item, raw: SoftMasks) -> list[Instance]:
        """Instances that the request asks for, best first, masks at the original size."""
        wanted = self._asked(item)
        chosen = scores_enough(raw.scores, raw.labels, wanted)
        if wanted.label_ids is not None:
            chosen &= torch.isin(raw.labels, torch.tensor(wanted.label_ids, dtype=torch.int64))
        rows = chosen.nonzero()[: wanted.most, 0]
        resized = (item.image.shape[0], item.image.shape[1])
        original = (item.call.height, item.call.width)
        masks = full_size_masks(raw.masks[rows], resized, original, self.inference.mask_threshold)
        instances = []
        for score, label, mask in zip(raw.scores[rows].tolist(), raw.labels[rows].tolist(), masks, strict=True):
            rle = encode_rle(mask.numpy())
            area = rle_area(rle)
            if area:
                instances.append(Instance(label, self.card.labels[label], score, rle_box(rle), rle, area))
        return instances

    def _asked(self, item: Item) -> Asked:
        return asked(item.call.options, self.card.thresholds, self.card, self.inference.kept)
