"""What a model answers for a photo prepared in another way, and how that differs from its answer by the card's rule."""

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pycocotools import mask as coco

from deployments.calls import Call, Item
from deployments.imaging.decode import upright
from deployments.imaging.masks import encode_rle
from deployments.imaging.rle import decode_rle
from deployments.imaging.spec import ImageSpec
from deployments.models.card import OPTIONS
from deployments.models.device import Normalizer
from deployments.models.model import Model
from deployments.results import RLE, Box, Detection, Face, Instance
from serve_app.commands.preprocessing.photo import Pixels

Found = Face | Instance | Detection

SAME_OBJECT = 0.5
"""Least IoU at which two answers' objects are taken for the same."""


@dataclass(frozen=True)
class AnswerChange:
    """From the answer by the card's rule to another; the last two are of the objects that both have."""

    expected: int
    found: int
    lost: int
    new: int
    relabelled: int
    score_change: float | None
    """The largest, signed; of a face's score, and of its probability of a mask."""
    lowest_iou: float | None
    """Of masks where there are masks, else of boxes."""


def under(model: Model[Any, Any], spec: ImageSpec) -> Model[Any, Any]:
    """The same network, fed by another colour order, mean, std and scale; the given model is left as it is."""
    altered = copy.copy(model)
    altered.card = model.card.model_copy(update={"image": spec})
    altered.normalize = Normalizer(spec, model.device)
    return altered


def answer(model: Model[Any, Any], prepared: Pixels, height: int, width: int) -> Sequence[Found]:
    """The answer for RGB uint8 [h, w, 3] at the card's thresholds, in pixels of a photo of this height and width."""
    options = OPTIONS[model.card.task]()
    item = Item(prepared, Call(height, width, options, deadline=float("inf"), request_id="compare-preprocessing"))
    return model.finish(item, model.run(model.collate([item]))[0])


def turn_upright(results: Sequence[Found], orientation: int, height: int, width: int) -> list[Found]:
    """An answer for a photo as stored, in pixels of the upright photo, whose height and width these are."""
    turned: list[Found] = []
    for result in results:
        box = upright_box(result.box, orientation, height, width)
        if isinstance(result, Instance):
            mask = encode_rle(upright(decode_rle(result.mask).astype(np.uint8), orientation))
            turned.append(replace(result, box=box, mask=mask))
        else:
            turned.append(replace(result, box=box))
    return turned


def upright_box(box: Box, orientation: int, height: int, width: int) -> Box:
    """A box of the stored photo in the upright one, whose height and width these are."""
    left, top, right, bottom = box.left, box.top, box.right, box.bottom
    if orientation in (5, 6, 7, 8):
        left, top, right, bottom = top, left, bottom, right
    if orientation in (2, 3, 6, 7):
        left, right = width - right, width - left
    if orientation in (3, 4, 7, 8):
        top, bottom = height - bottom, height - top
    return Box(left, top, right, bottom)


def compare_answers(expected: Sequence[Found], found: Sequence[Found]) -> AnswerChange:
    """Pair the objects of two answers by overlap, the closest first, whatever their labels."""
    ious = _overlaps(expected, found)
    pairs = []
    while ious.size and ious.max() >= SAME_OBJECT:
        row, column = map(int, np.unravel_index(ious.argmax(), ious.shape))
        pairs.append((expected[row], found[column], float(ious[row, column])))
        ious[row, :] = ious[:, column] = -1
    changes = [
        after - before for one, other, _ in pairs for before, after in zip(*map(_scores, (one, other)), strict=True)
    ]
    return AnswerChange(
        expected=len(expected),
        found=len(found),
        lost=len(expected) - len(pairs),
        new=len(found) - len(pairs),
        relabelled=sum(one.label != other.label for one, other, _ in pairs),
        score_change=max(changes, key=abs, default=None),
        lowest_iou=min((iou for _, _, iou in pairs), default=None),
    )


def _overlaps(expected: Sequence[Found], found: Sequence[Found]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """IoU [expected, found], of masks where there are masks."""
    masks = [_masks(results) for results in (expected, found)]
    if masks[0] and masks[1]:
        return np.array(coco.iou(*masks, [0] * len(masks[1])))
    return np.array([[one.box.iou(other.box) for other in found] for one in expected])


def _masks(results: Sequence[Found]) -> list[RLE]:
    return [result.mask for result in results if isinstance(result, Instance)]


def _scores(result: Found) -> tuple[float, ...]:
    if isinstance(result, Face):
        return result.face_score, result.confidence if result.label == "MASK" else 1 - result.confidence
    return (result.score,)


def in_words(results: Sequence[Found]) -> str:
    """Labels with their number and best score: ``2 person (0.91), 1 tie (0.30)``."""
    counts = Counter(result.label for result in results)
    best: dict[str, float] = {}
    for result in results:
        best[result.label] = max(best.get(result.label, 0.0), _scores(result)[0])
    return ", ".join(f"{n} {label} ({best[label]:.2f})" for label, n in counts.most_common()) or "nothing"


def change_in_words(change: AnswerChange) -> str:
    """``1 of 2 lost, 1 new, score -0.12, IoU 0.93``; ``the same`` where nothing shows at two decimals."""
    parts = []
    if change.lost:
        parts.append(f"{change.lost} of {change.expected} lost")
    if change.new:
        parts.append(f"{change.new} new")
    if change.relabelled:
        parts.append(f"{change.relabelled} relabelled")
    if change.score_change is not None and abs(change.score_change) >= 0.005:
        parts.append(f"score {change.score_change:+.2f}")
    if change.lowest_iou is not None and change.lowest_iou < 0.995:
        parts.append(f"IoU {change.lowest_iou:.2f}")
    return ", ".join(parts) or "the same"
