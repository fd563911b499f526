"""A torchvision network of a model card, on a device: pictures in, objects or instances out."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection.image_list import ImageList

from deployments.calls import Item
from deployments.engines.equip import Example
from deployments.imaging.masks import encode_rle
from deployments.models.candidates import Asked, Candidates, asked, detections, faces, instances, original_boxes
from deployments.models.card import ModelCard
from deployments.models.device import Normalizer, padded_batch, to_cpu
from deployments.models.torchvision_models import rcnn, single_stage
from deployments.models.torchvision_models.networks import Network, build, load_weights
from deployments.results import Detection, Face, Instance


@dataclass(frozen=True, slots=True)
class Batch:
    """images: normalised float [N, 3, H, W], zero-padded right and below; sizes: (height, width) without padding."""

    images: Tensor
    sizes: list[tuple[int, int]]
    asked: list[Asked]


class TorchvisionModel:
    """Loads the weights once; each call is independent of the others in its batch.

    The card's labels are the classes without the background: label id 0 is torchvision's label 1. The card's ImageSpec
    takes the place of the network's own transform, which is not used.
    """

    def __init__(self, card: ModelCard, weights: Path, device: torch.device) -> None:
        settings = Network.model_validate(card.network)
        if card.task not in settings.tasks:
            tasks = " or ".join(settings.tasks)
            raise ValueError(f"model card {card.name}: {settings.model} is for {tasks}, not for {card.task}")
        self.card = card
        self.device = device
        self.normalize = Normalizer(card.image, device)
        network = build(settings, len(card.labels))
        load_weights(network, weights, settings.model)
        two_stages = hasattr(network, "roi_heads")
        self.network: Any = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.lanes = 1
        self.kind: Any = rcnn if two_stages else single_stage
        thresholds: Any = self.network.roi_heads if two_stages else self.network
        self.most = settings.detections_per_image or thresholds.detections_per_img
        self.thresholds = {
            "score_threshold": thresholds.score_thresh,
            "face_threshold": thresholds.score_thresh,
            "nms_iou": thresholds.nms_thresh,
            **card.thresholds,
        }
        # A request's classes are chosen before its best are counted, so torchvision must not count.
        thresholds.detections_per_img = sys.maxsize

    def examples(self, images: Tensor) -> list[Example]:
        """The backbone and the heads."""
        found: list[Example] = self.kind.examples(self.network, images)
        return found

    def padded_shape(self, item: Item) -> tuple[int, int]:
        """The network's padded input."""
        return self.card.image.padded_size(item.image.shape[0], item.image.shape[1])

    @torch.inference_mode()
    def collate(self, items: list[Item]) -> Batch:
        """Pad, send to the device, normalise."""
        pictures = [item.image for item in items]
        images = padded_batch(pictures, *self.padded_shape(items[0]), self.normalize, self.device)
        sizes = [(image.shape[0], image.shape[1]) for image in pictures]
        wanted = [asked(item.call.options, self.thresholds, self.card, self.most) for item in items]
        return Batch(images.contiguous(memory_format=torch.channels_last), sizes, wanted)

    @torch.inference_mode()
    def run(self, batch: Batch) -> list[Candidates]:
        """What each request asks for of its picture, masks still over their boxes."""
        found = self.kind.find(self.network, ImageList(batch.images, batch.sizes), batch.asked)
        return to_cpu(found)

    @torch.inference_mode()
    def finish(self, item: Item, raw: Candidates) -> list[Detection] | list[Face] | list[Instance]:
        """The same in pixels of the original image, best first."""
        if self.card.task == "mask_detection":
            return faces(raw, item, self.card.labels)
        if raw.masks is None:
            return detections(raw, item, self.card.labels)
        masks = rcnn.paste(raw.masks, original_boxes(raw, item), (item.call.height, item.call.width))
        rles = (encode_rle(mask.numpy()) for mask in masks)
        return instances(raw.scores, raw.labels, rles, self.card.labels)
