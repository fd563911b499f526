"""An ONNX file of a model card, on a device: pictures in, objects or instances out."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import batched_nms

from deployments.calls import Item
from deployments.engines.equip import Example
from deployments.engines.finite import require_finite
from deployments.imaging.masks import encode_rle, rle_of_changes
from deployments.models.candidates import (
    Asked,
    Candidates,
    asked,
    detections,
    faces,
    instances,
    original_boxes,
    select,
)
from deployments.models.card import ModelCard
from deployments.models.device import Normalizer, padded_batch
from deployments.models.full_size import changes
from deployments.models.onnx.file import Shape, Signature, read_signature
from deployments.models.onnx.network import Network, read_network
from deployments.models.onnx.outputs import candidates
from deployments.models.onnx.runtimes import open_network
from deployments.models.torchvision_models.rcnn import paste
from deployments.results import RLE, Detection, Face, Instance

BEFORE_NMS = 3000
"""Boxes of a picture, best first, whose overlaps are computed at most."""
MASK_THRESHOLD = 0.5
"""Probability above which a pixel belongs to an instance."""
DTYPES = {
    np.dtype(np.float32): torch.float32,
    np.dtype(np.float16): torch.float16,
    np.dtype(np.float64): torch.float64,
    np.dtype(np.uint8): torch.uint8,
}
"""Of a file's input."""


@dataclass(frozen=True, slots=True)
class Batch:
    """images: normalised [N, 3, H, W] of the file's dtype, zero-padded right and below."""

    images: Tensor
    asked: list[Asked]


class OnnxModel:
    """Runs an ONNX file. No code of the file is run, and nothing is read but it and external data beside it.

    The network takes pictures as [N, 3, H, W], or one as [3, H, W], normalised as the card's ImageSpec says and
    zero-padded right and below: to its own height and width where those are fixed, else to the spec's multiple. Where
    its batch is of a fixed size, it runs as often as it must. It answers, for K objects of each picture in any order:

    - boxes [N, K, 4] over its input, in the form and unit that the card states (``Network``);
    - scores [N, K]: probabilities; what has a score of 0 is padding;
    - labels [N, K]: whole numbers, the card's first label as ``first_label`` says;
    - masks [N, K, h, w], for instance segmentation: probabilities over its input or over each box, in any resolution.
      Masks over its input need no boxes.

    A network that takes one picture may leave N out of its answers. For mask detection each of the card's labels is
    MASK or NO MASK, and of faces that overlap the best is kept. Boxes that overlap are thinned out by ``nms_iou`` for
    object detection, where the request or the card states it; a network for instance segmentation must do so itself.

    What remains trusted is the engine. A network whose sizes depend on its input can take as much time and memory as it
    likes, and would profit from a memory error in an operator's own code.
    """

    def __init__(self, card: ModelCard, weights: Path, device: torch.device) -> None:
        """Raises ValueError where the file is none that this can run, or does not fit the card."""
        self.card = card
        self.device = device
        self.lanes = 1
        self.normalize = Normalizer(card.image, device)
        try:
            self.settings = read_network(card)
            signature = read_signature(weights)
            _check_signature(signature, self.settings, card)
            self.network = open_network(weights, signature, device)
        except ValueError as error:
            raise ValueError(f"model card {card.name}, {weights.name}: {error}") from error
        self.dtype = DTYPES[signature.dtype]
        self.takes_one = len(signature.shape) == 3
        self.shape: Shape = (1, *signature.shape) if self.takes_one else signature.shape
        scores = signature.outputs[self.settings.outputs["scores"]]
        self.at_once = 1 if scores is not None and len(scores) == 1 else self.shape[0]
        """Pictures of a run; None where any number will do."""

    def examples(self, images: Tensor) -> list[Example]:
        """None: a file has an engine of its own."""
        return []

    def padded_shape(self, item: Item) -> tuple[int, int]:
        """The network's input. Raises ValueError for a picture that is larger than a fixed input."""
        sent = (item.image.shape[0], item.image.shape[1])
        padded = self.card.image.padded_size(*sent)
        height, width = (fixed or side for fixed, side in zip(self.shape[2:], padded, strict=True))
        if height < sent[0] or width < sent[1]:
            raise ValueError(
                f"a picture resized to {sent[0]}x{sent[1]} is larger than the {height}x{width} that the network takes;"
                " the card's resize rule must stay within that"
            )
        return height, width

    @torch.inference_mode()
    def collate(self, items: list[Item]) -> Batch:
        """Pad, send to the device, normalise."""
        pictures = [item.image for item in items]
        images = padded_batch(pictures, *self.padded_shape(items[0]), self.normalize, self.device)
        most = self.settings.detections_per_image
        wanted = [asked(item.call.options, self.card.thresholds, self.card, most) for item in items]
        return Batch(images.to(self.dtype).contiguous(), wanted)

    @torch.inference_mode()
    def run(self, batch: Batch) -> list[Candidates]:
        """What each request asks for of its picture, masks as the network made them.

        Raises ValueError where an output is not of the shape that it must have, or a label is not one of the card's;
        NotFinite where it is no number.
        """
        found: list[Candidates] = []
        for images in torch.split(batch.images, self.at_once or len(batch.images)):
            # a fixed batch that is not full is filled with black pictures, whose objects nobody asks for
            missing = (self.at_once or len(images)) - len(images)
            found += self._find(F.pad(images, (0, 0, 0, 0, 0, 0, 0, missing)) if missing else images)[: len(images)]
        return [self._select(each, wanted) for each, wanted in zip(found, batch.asked, strict=True)]

    def _find(self, images: Tensor) -> list[Candidates]:
        outputs = self.network(images[0] if self.takes_one else images)
        found = {name: outputs[output] for name, output in self.settings.outputs.items()}
        try:
            return candidates(found, self.settings, len(images), (images.shape[2], images.shape[3]))
        except ValueError as error:
            raise ValueError(f"model card {self.card.name}: {error}") from error

    def _select(self, found: Candidates, wanted: Asked) -> Candidates:
        chosen = select(found, replace(wanted, most=BEFORE_NMS))
        require_finite(chosen)
        wrong = chosen.labels >= len(self.card.labels)
        if wrong.any():
            first = self.settings.first_label
            raise ValueError(
                f"model card {self.card.name}: the network answers the label {int(chosen.labels[wrong][0]) + first}; "
                f"the card has {first} to {first + len(self.card.labels) - 1}"
            )
        if wanted.nms_iou is not None:
            chosen = chosen.take(batched_nms(chosen.boxes, chosen.scores, chosen.labels, wanted.nms_iou))
        return chosen.take(torch.arange(len(chosen.scores))[: wanted.most])

    @torch.inference_mode()
    def finish(self, item: Item, raw: Candidates) -> list[Detection] | list[Face] | list[Instance]:
        """The same in pixels of the original image, best first."""
        if self.card.task == "mask_detection":
            return faces(raw, item, self.card.labels)
        if raw.masks is None:
            return detections(raw, item, self.card.labels)
        original = (item.call.height, item.call.width)
        if self.settings.masks_over == "box":
            masks = paste(raw.masks, original_boxes(raw, item), original)
            rles: Iterator[RLE] = (encode_rle(mask.numpy()) for mask in masks)
        else:
            resized = (item.image.shape[0], item.image.shape[1])
            rles = full_size_rles(raw.masks, self.padded_shape(item), resized, original)
        return instances(raw.scores, raw.labels, rles, self.card.labels)


def full_size_rles(
    soft: Tensor, padded: tuple[int, int], resized: tuple[int, int], original: tuple[int, int]
) -> Iterator[RLE]:
    """Resize probabilities [K, h, w] to the padded input, cut the padding off, resize to the original, threshold."""
    for mask in soft:
        whole = F.interpolate(mask[None, None], padded, mode="bilinear", align_corners=False)[0]
        places, _ = changes(whole[:, : resized[0], : resized[1]].mT, original, MASK_THRESHOLD)
        yield rle_of_changes(places.numpy(), original)


def _check_signature(signature: Signature, settings: Network, card: ModelCard) -> None:
    if settings.input != signature.input:
        raise ValueError(f"the file has no input {settings.input!r}; its input is {signature.input!r}")
    for name in settings.outputs.values():
        if name not in signature.outputs:
            raise ValueError(f"the file has no output {name!r}; its outputs are {', '.join(signature.outputs)}")
    if len(signature.shape) not in (3, 4) or signature.shape[-3] not in (None, 3):
        sides = ", ".join("any" if side is None else str(side) for side in signature.shape)
        raise ValueError(f"the file's input is [{sides}], not [N, 3, H, W] or [3, H, W]")
    if signature.dtype not in DTYPES:
        raise ValueError(f"the file's input is of {signature.dtype}, not of floats or uint8")
    image = card.image
    if signature.dtype == np.uint8 and (image.scale, image.mean, image.std) != (1, (0, 0, 0), (1, 1, 1)):
        raise ValueError("the file takes uint8: the card's scale and std must be 1, its mean 0")
