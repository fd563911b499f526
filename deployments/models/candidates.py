"""Objects as a network finds them, what a request asks of them, and the answers that are made of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import nms

from deployments.calls import Item, MaskDetectionOptions, ObjectDetectionOptions, TaskOptions
from deployments.imaging.rle import rle_area, rle_box
from deployments.models.card import ModelCard
from deployments.results import RLE, Box, Detection, Face, Instance

FACE_IOU = 0.5
"""Of two faces whose boxes overlap more than this, whatever their labels, only the better is kept."""


class Candidates(NamedTuple):
    """Objects of one picture.

    boxes: float32 [K, 4], left, top, right, bottom in pixels of the picture sent; scores: float32 [K]; labels: int64
    [K]; masks: float32 [K, h, w], probabilities over what the model says, where it makes any.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    masks: Tensor | None = None

    def take(self, rows: Tensor) -> "Candidates":
        """Those at ``rows``: int64 [K'] or bool [K]."""
        masks = None if self.masks is None else self.masks[rows]
        return Candidates(self.boxes[rows], self.scores[rows], self.labels[rows], masks)


@dataclass(frozen=True, slots=True)
class Asked:
    """What one request asks of the objects of its picture."""

    score_threshold: float
    nms_iou: float | None
    """Overlap above which the worse of two boxes of one label goes; None leaves all."""
    label_ids: tuple[int, ...] | None
    """Labels to keep; None keeps all."""
    most: int
    """Objects at most, best first."""
    class_thresholds: tuple[tuple[int, float], ...] = ()
    """Label ids whose least score is another."""

    @property
    def lowest_threshold(self) -> float:
        """No object below it is wanted, whatever its label."""
        return min((self.score_threshold, *(score for _, score in self.class_thresholds)))


def asked(options: TaskOptions, thresholds: Mapping[str, float], card: ModelCard, most: int) -> Asked:
    """thresholds: for what the options leave open; most: the model's bound, which a request may only lower."""
    if isinstance(options, MaskDetectionOptions):
        asked_score = options.face_threshold
        least = thresholds["face_threshold"] if asked_score is None else asked_score
        return Asked(least, thresholds.get("nms_iou"), None, most)
    if isinstance(options, ObjectDetectionOptions):
        nms_iou, limit = options.nms_iou, options.max_objects
    else:
        nms_iou, limit = None, options.max_instances
    classes = options.classes
    return Asked(
        thresholds["score_threshold"] if options.score_threshold is None else options.score_threshold,
        thresholds.get("nms_iou") if nms_iou is None else nms_iou,
        None if classes is None else tuple(i for i, name in enumerate(card.labels) if name in classes),
        most if limit is None else min(limit, most),
        class_thresholds(card) if options.score_threshold is None else (),
    )


def class_thresholds(card: ModelCard) -> tuple[tuple[int, float], ...]:
    """The card's, by label id; of several labels of one name, each has it."""
    return tuple(
        (i, card.class_thresholds[name]) for i, name in enumerate(card.labels) if name in card.class_thresholds
    )


def scores_enough(scores: Tensor, labels: Tensor, wanted: Asked) -> Tensor:
    """Which objects reach their label's threshold: float [K] and int64 [K] to bool [K]."""
    least = torch.full_like(scores, wanted.score_threshold)
    for label, threshold in wanted.class_thresholds:
        least[labels == label] = threshold
    return scores >= least


def select(found: Candidates, wanted: Asked) -> Candidates:
    """Those of the labels and scores that are wanted, best first; empty boxes go, and what is not finite."""
    width, height = (found.boxes[:, 2:] - found.boxes[:, :2]).unbind(dim=1)
    rows = scores_enough(found.scores, found.labels, wanted)
    rows &= found.boxes.isfinite().all(dim=1) & (width > 0) & (height > 0)
    if wanted.label_ids is not None:
        rows &= torch.isin(found.labels, torch.tensor(wanted.label_ids, dtype=torch.int64, device=rows.device))
    kept = rows.nonzero()[:, 0]
    order = found.scores[kept].argsort(descending=True, stable=True)
    return found.take(kept[order[: wanted.most]])


def original_boxes(found: Candidates, item: Item) -> Tensor:
    """The boxes in pixels of the original image, cut at its borders: float32 [K, 4]."""
    height, width = item.call.height, item.call.width
    scale = torch.tensor([width / item.image.shape[1], height / item.image.shape[0]] * 2)
    return (found.boxes * scale).clamp(min=0).minimum(torch.tensor([width, height] * 2))


def detections(found: Candidates, item: Item, labels: Sequence[str]) -> list[Detection]:
    """What is found in an item's picture, as the answer wants it; empty boxes go."""
    rows = zip(original_boxes(found, item).tolist(), found.scores.tolist(), found.labels.tolist(), strict=True)
    made = [Detection(label, labels[label], score, Box(*sides)) for sides, score, label in rows]
    return [detection for detection in made if detection.box.area > 0]


def faces(found: Candidates, item: Item, labels: Sequence[str]) -> list[Face]:
    """What a network of one stage finds, whose one score says both that there is a face and what it wears.

    labels: MASK or NO MASK for each of the network's, of which several may mean the same.
    """
    best = found.take(nms(found.boxes, found.scores, FACE_IOU))
    return [
        Face(each.box, each.score, "MASK" if each.label == "MASK" else "NO MASK", each.score)
        for each in detections(best, item, labels)
    ]


def instances(scores: Tensor, labels: Tensor, rles: Iterable[RLE], names: Sequence[str]) -> list[Instance]:
    """What is found, as the answer wants it; empty masks go.

    scores: float [K]; labels: int64 [K]; rles: K masks of the original image, taken one by one; names: of the labels.
    """
    made = []
    for score, label, rle in zip(scores.tolist(), labels.tolist(), rles, strict=True):
        area = rle_area(rle)
        if area:
            made.append(Instance(label, names[label], score, rle_box(rle), rle, area))
    return made
