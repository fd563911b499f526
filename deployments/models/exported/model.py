"""A program of torch.export of a model card, on a device: pictures in, objects or instances out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Never

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import batched_nms

from deployments.calls import Item
from deployments.models.candidates import Asked, Candidates, asked, detections, faces, instances, select
from deployments.models.card import ModelCard
from deployments.models.device import Normalizer, padded_batch
from deployments.models.exported.archive import read_archive
from deployments.models.exported.program import Program
from deployments.models.solov2.full_size import enlarge
from deployments.results import Detection, Face, Instance

OutputName = Literal["boxes", "scores", "labels", "masks"]
OUTPUTS: dict[str, tuple[OutputName, ...]] = {
    "mask_detection": ("boxes", "scores", "labels"),
    "object_detection": ("boxes", "scores", "labels"),
    "instance_segmentation": ("boxes", "scores", "labels", "masks"),
}
"""What a program must answer for each task."""
BEFORE_NMS = 3000
"""Boxes of a picture, best first, whose overlaps are computed at most."""
MASK_THRESHOLD = 0.5
"""Probability above which a pixel belongs to an instance."""


class Network(BaseModel):
    """Arguments of this architecture in a model card."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: str
    """The program's name for the pictures."""
    outputs: dict[OutputName, str]
    """The program's names for what it finds: keys of what its module returned (``Program`` tells how), or its nodes."""
    detections_per_image: int = Field(default=100, ge=1, le=1000)
    """Objects at most."""


@dataclass(frozen=True, slots=True)
class Batch:
    """images: normalised [N, 3, H, W] of the program's dtype, zero-padded right and below."""

    images: Tensor
    asked: list[Asked]


class ExportedModel:
    """Runs an archive that ``torch.export.save`` wrote. No code of the file is run.

    The program takes pictures as [N, 3, H, W], normalised as the card's ImageSpec says and zero-padded right and below:
    to its own height and width where those are fixed, else to the spec's multiple. Where its batch is of a fixed size,
    it runs as often as it must. It answers, for K objects of each picture in any order:

    - boxes [N, K, 4]: left, top, right, bottom in pixels of its input;
    - scores [N, K]: probabilities; what has a score of 0 is padding;
    - labels [N, K]: integers, places in the card's ``labels``;
    - masks [N, K, h, w], for instance segmentation: probabilities over the whole input, in any resolution.

    For mask detection each of the card's labels is MASK or NO MASK, and of faces that overlap the best is kept.
    Boxes that overlap are thinned out by ``nms_iou`` for object detection, where the request or the card states it; a
    program for instance segmentation must do so itself.

    What remains trusted is torch: a program may call any operator that computes on tensors, with any arguments. It can
    take as much time and memory as it likes, and would profit from a memory error in an operator's own code.
    """

    def __init__(self, card: ModelCard, weights: Path, device: torch.device) -> None:
        """Raises ValueError where the archive is none that this can run, or does not fit the card."""
        self.card = card
        self.device = device
        self.normalize = Normalizer(card.image, device)
        try:
            self.settings = _checked(card)
            self.program = Program(read_archive(weights), device)
            _check_signature(self.program, self.settings)
        except ValueError as error:
            raise ValueError(f"model card {card.name}, {weights.name}: {error}") from error
        self.names = OUTPUTS[card.task]

    @property
    def networks(self) -> Never:
        """Raises ValueError: a program computes in the precision that it was exported with."""
        raise ValueError(f"model card {self.card.name}: an exported program has its own precision; leave it float32")

    def padded_shape(self, item: Item) -> tuple[int, int]:
        """The program's input. Raises ValueError for a picture that is larger than a program's fixed input."""
        sent = (item.image.shape[0], item.image.shape[1])
        padded = self.card.image.padded_size(*sent)
        height, width = (fixed or side for fixed, side in zip(self.program.rule.shape[2:], padded, strict=True))
        if height < sent[0] or width < sent[1]:
            raise ValueError(
                f"a picture resized to {sent[0]}x{sent[1]} is larger than the {height}x{width} that the program takes;"
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
        return Batch(images.to(self.program.dtype), wanted)

    @torch.inference_mode()
    def run(self, batch: Batch) -> list[Candidates]:
        """What each request asks for of its picture, masks as the program made them.

        Raises ValueError where the program's outputs are not of the shapes that they must have, or a label is not one
        of the card's.
        """
        count, fixed = len(batch.images), self.program.rule.shape[0]
        at_once = fixed or min(count, self.program.rule.largest_batch or count)
        found = []
        for start in range(0, count, at_once):
            images = batch.images[start : start + at_once]
            # a fixed batch that is not full is filled with black pictures, whose objects nobody asks for
            missing = fixed - len(images) if fixed else 0
            full = F.pad(images, (0, 0, 0, 0, 0, 0, 0, missing)) if missing else images
            outputs = self.program(full, [self.settings.outputs[name] for name in self.names])
            _check_shapes(self.names, outputs, len(full))
            parts = zip(*(output[: len(images)] for output in outputs), strict=True)
            found += [
                self._select(Candidates(*each), one) for each, one in zip(parts, batch.asked[start:], strict=False)
            ]
        return found

    def _select(self, found: Candidates, wanted: Asked) -> Candidates:
        scores, labels = found.scores.float(), found.labels.long()
        candidates = found._replace(boxes=found.boxes.float(), scores=scores, labels=labels).take(scores > 0)
        chosen = select(candidates, replace(wanted, most=BEFORE_NMS))
        wrong = (chosen.labels < 0) | (chosen.labels >= len(self.card.labels))
        if wrong.any():
            label = int(chosen.labels[wrong][0])
            raise ValueError(f"the program answers the label {label}; the card has 0 to {len(self.card.labels) - 1}")
        if wanted.nms_iou is not None:
            chosen = chosen.take(batched_nms(chosen.boxes, chosen.scores, chosen.labels, wanted.nms_iou))
        return chosen.take(torch.arange(len(chosen.scores), device=self.device)[: wanted.most]).cpu()

    @torch.inference_mode()
    def finish(self, item: Item, raw: Candidates) -> list[Detection] | list[Face] | list[Instance]:
        """The same in pixels of the original image, best first."""
        if self.card.task == "mask_detection":
            return faces(raw, item, self.card.labels)
        if raw.masks is None:
            return detections(raw, item, self.card.labels)
        resized = (item.image.shape[0], item.image.shape[1])
        original = (item.call.height, item.call.width)
        return instances(raw, full_size_masks(raw.masks, self.padded_shape(item), resized, original), self.card.labels)


def full_size_masks(
    soft: Tensor, padded: tuple[int, int], resized: tuple[int, int], original: tuple[int, int]
) -> Iterator[Tensor]:
    """Resize probabilities [K, h, w] to the padded input, cut the padding off, resize to the original, and threshold.

    Yields bool [H, W] one by one, so that only one full-size mask is ever held.
    """
    for mask in soft:
        whole = F.interpolate(mask[None, None].float(), padded, mode="bilinear", align_corners=False)[0, 0]
        yield enlarge(whole[: resized[0], : resized[1]], original, MASK_THRESHOLD)


def _checked(card: ModelCard) -> Network:
    threshold = "face_threshold" if card.task == "mask_detection" else "score_threshold"
    if threshold not in card.thresholds:
        raise ValueError(f"the card states no {threshold}")
    settings = Network.model_validate(card.network)
    if set(settings.outputs) != set(OUTPUTS[card.task]):
        raise ValueError(
            f"{card.task} needs the outputs {', '.join(OUTPUTS[card.task])}; the card names "
            f"{', '.join(settings.outputs) or 'none'}"
        )
    return settings


def _check_signature(program: Program, settings: Network) -> None:
    if settings.input != program.input:
        raise ValueError(f"the program has no input {settings.input!r}; its input is {program.input!r}")
    for name in settings.outputs.values():
        if name not in program.outputs:
            raise ValueError(f"the program has no output {name!r}; its outputs are {', '.join(program.outputs)}")
    shape = program.rule.shape
    if len(shape) != 4 or shape[1] not in (None, 3):
        raise ValueError(f"the program's input is {_shape(shape)}, not [N, 3, H, W]")
    if not program.dtype.is_floating_point and program.dtype != torch.uint8:
        raise ValueError(f"the program's input is of {program.dtype}, not of floats or uint8")


def _check_shapes(names: Sequence[str], outputs: Sequence[Tensor], batch: int) -> None:
    """Raise ValueError unless outputs are as ``ExportedModel`` says, and agree in the number of objects."""
    objects = outputs[0].shape[1] if outputs[0].ndim == 3 else -1
    lengths = {"boxes": (batch, objects, 4), "scores": (batch, objects), "labels": (batch, objects)}
    for name, output in zip(names, outputs, strict=True):
        shape = tuple(output.shape)
        wanted = lengths.get(name, (batch, objects, *shape[2:]))
        if shape != wanted or (name == "masks" and len(shape) != 4):
            raise ValueError(
                f"the program's {name} are {_shape(shape)}; boxes are [N, K, 4], scores and labels [N, K], "
                "masks [N, K, h, w]"
            )
    labels = outputs[2]
    if labels.is_floating_point():
        raise ValueError(f"the program's labels are of {labels.dtype}, not integers")


def _shape(shape: Sequence[int | None]) -> str:
    return f"[{', '.join('any' if side is None else str(side) for side in shape)}]"
