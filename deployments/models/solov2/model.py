"""A SOLOv2 of a model card, on a device: pictures in, instances out."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from deployments.calls import InstanceSegmentationOptions, Item
from deployments.imaging.masks import encode_rle, rle_area, rle_box
from deployments.models.card import ModelCard
from deployments.models.device import Normalizer, inside, stack
from deployments.models.solov2.config import Architecture, Inference
from deployments.models.solov2.inference import SoftMasks, select
from deployments.models.solov2.network import Solov2, resize_bilinear
from deployments.results import Instance

STRIDE = 4
"""Input pixels per mask pixel."""


@dataclass(frozen=True, slots=True)
class Batch:
    """images: normalised float [N, 3, H, W], zero-padded right and below."""

    images: Tensor


class Solov2Model:
    """Loads the weights once; each call is independent of the others in its batch."""

    def __init__(self, card: ModelCard, weights: Path, device: torch.device) -> None:
        self.card = card
        self.device = device
        self.inference = Inference()
        self.normalize = Normalizer(card.image, device)
        self.network = Solov2(Architecture.model_validate(card.network))
        if self.network.architecture.classes != len(card.labels):
            raise ValueError(
                f"model card {card.name}: {len(card.labels)} labels for {self.network.architecture.classes} classes"
            )
        self.network.load_state_dict(load_file(weights))
        self.network.to(device=device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def padded_shape(self, item: Item) -> tuple[int, int]:
        """The network's padded input."""
        return self.card.image.padded_size(item.image.shape[0], item.image.shape[1])

    @torch.inference_mode()
    def collate(self, items: list[Item]) -> Batch:
        """Pad, send to the device, normalise; the padding is zero after normalisation, as in training."""
        height, width = self.padded_shape(items[0])
        sizes = [(item.image.shape[0], item.image.shape[1]) for item in items]
        pixels = stack([item.image for item in items], height, width).to(self.device, non_blocking=True)
        images = self.normalize(pixels) * inside(sizes, height, width, self.device)
        return Batch(images.contiguous(memory_format=torch.channels_last))

    @torch.inference_mode()
    def run(self, batch: Batch) -> list[SoftMasks]:
        """Instances of each picture, masks still at a quarter of the input's size."""
        raw = self.network(batch.images)
        found = select(raw, self.network.architecture.mask_strides, self.inference)
        return [SoftMasks(*(part.cpu() for part in one)) for one in found]

    @torch.inference_mode()
    def finish(self, item: Item, raw: SoftMasks) -> list[Instance]:
        """Instances that the request asks for, best first, masks at the original size."""
        options = item.call.options
        assert isinstance(options, InstanceSegmentationOptions)
        threshold = options.score_threshold
        if threshold is None:
            threshold = self.card.thresholds["score_threshold"]
        wanted = raw.scores >= threshold
        if options.classes is not None:
            ids = torch.tensor([i for i, name in enumerate(self.card.labels) if name in options.classes])
            wanted &= torch.isin(raw.labels, ids)
        rows = wanted.nonzero()[: options.max_instances, 0]
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


def full_size_masks(
    soft: Tensor, resized: tuple[int, int], original: tuple[int, int], threshold: float
) -> Iterator[Tensor]:
    """Upsample probabilities [K, h, w] by STRIDE, cut the padding off, resize to the original size, and threshold.

    Yields bool [H, W] one by one, so that only one full-size float map is ever held.
    """
    for mask in soft:
        input_size = (mask.shape[0] * STRIDE, mask.shape[1] * STRIDE)
        whole = resize_bilinear(mask[None, None], input_size)[:, :, : resized[0], : resized[1]]
        yield resize_bilinear(whole, original)[0, 0] > threshold
