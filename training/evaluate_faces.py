"""What the face-mask model reaches on labelled faces."""

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from deployments.calls import MaskDetectionOptions
from deployments.models.model import Model
from deployments.results import Box, Face
from training.answer import answer, milliseconds
from training.data import INCORRECT, WITH_MASK, WITHOUT_MASK, Picture
from training.metrics import TIMED, Measured, Reliability, precision_recall
from training.worn_masks import CHIN, NOSE, PROPER, draw_mask

CATEGORIES = {1: "MASK", 2: "NO MASK"}
NAMES = {1: "with_mask", 2: "without_mask", 3: "mask_incorrect"}
DRAWN = {"drawn over the nose": PROPER, "drawn below the nose": NOSE, "drawn at the chin": CHIN}
"""Masks that labelled bare faces are given, and where."""
LARGE_ENOUGH = 24.0
"""Longer side in pixels from which a face is drawn on."""
LOWEST_SCORE = 0.02


def match_faces(found: list[Face], picture: Picture, label: str) -> list[tuple[float, bool]]:
    """Score and correctness of each detection of a label; one that matches an incorrectly worn mask does not count."""
    category = {name: number for number, name in CATEGORIES.items()}[label]
    truths = [Box(*map(float, b)) for b, c in zip(picture.boxes, picture.labels, strict=True) if c == category]
    neutral = [Box(*map(float, b)) for b, c in zip(picture.boxes, picture.labels, strict=True) if c == INCORRECT]
    used: set[int] = set()
    rows = []
    detections = sorted((f for f in found if f.label == label), key=lambda f: -f.face_score * f.confidence)
    for face in detections:
        overlaps = [(face.box.iou(truth), k) for k, truth in enumerate(truths) if k not in used]
        best, which = max(overlaps, default=(0.0, -1))
        if best >= 0.5:
            used.add(which)
        elif any(face.box.iou(box) >= 0.5 for box in neutral):
            continue
        rows.append((face.face_score * face.confidence, best >= 0.5))
    return rows


def face_at(found: list[Face], sides: NDArray[np.float32]) -> Face | None:
    """The answer for a labelled face, float32 [4], if there is one."""
    truth = Box(*map(float, sides))
    best = max(found, key=lambda face: face.box.iou(truth), default=None)
    return best if best and best.box.iou(truth) >= 0.5 else None


def worn(picture: Picture, outline: tuple) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """The bare faces of a picture that are large enough, float32 [K, 4], and the picture with a mask drawn on each."""
    large = (picture.boxes[:, 2:] - picture.boxes[:, :2]).max(axis=1, initial=0) >= LARGE_ENOUGH
    boxes, image = picture.boxes[large & (picture.labels == WITHOUT_MASK)], picture.image
    rng = np.random.default_rng(0)
    for box in boxes:
        image = draw_mask(rng, image, box, outline)
    return boxes, image


def evaluate_faces(model: Model, pictures: list[Picture]) -> Measured:
    """AP50 a label; what the model says of each labelled face, incorrectly worn masks in a row of their own; and how
    often the label of a confidence is right, where one of an incorrectly worn mask should be NO MASK. Since such masks
    are few, masks drawn on bare faces are counted too."""
    rows: dict[str, list[tuple[float, bool]]] = {label: [] for label in CATEGORIES.values()}
    confusion = {name: dict.fromkeys(("MASK", "NO MASK", "missed"), 0) for name in (*NAMES.values(), *DRAWN)}
    confidences: list[float] = []
    right: list[bool] = []
    for picture in track(pictures, description="faces"):
        found = answer(model, picture.image, MaskDetectionOptions(face_threshold=LOWEST_SCORE))
        for label in rows:
            rows[label] += match_faces(found, picture, label)
        sure = [face for face in found if face.face_score >= model.card.thresholds["face_threshold"]]
        for sides, category in zip(picture.boxes, picture.labels, strict=True):
            best = face_at(sure, sides)
            confusion[NAMES[int(category)]][best.label if best else "missed"] += 1
            if best:
                confidences.append(best.confidence)
                right.append(best.label == ("MASK" if category == WITH_MASK else "NO MASK"))
        for name, outline in DRAWN.items():
            boxes, image = worn(picture, outline)
            found = answer(model, image, MaskDetectionOptions()) if len(boxes) else []
            for sides in boxes:
                best = face_at(found, sides)
                confusion[name][best.label if best else "missed"] += 1
    curves = []
    for category, label in CATEGORIES.items():
        truths = sum(int((picture.labels == category).sum()) for picture in pictures)
        scores, correct = [score for score, _ in rows[label]], [hit for _, hit in rows[label]]
        curves.append(precision_recall(label, scores, correct, truths))
    reliability = Reliability("confidence of a label", np.array(confidences), np.array(right, bool))
    metrics = {f"ap50 {curve.name}": curve.average_precision for curve in curves}
    metrics["calibration error of the confidence"] = reliability.calibration_error
    sure_only = MaskDetectionOptions(face_threshold=model.card.thresholds["face_threshold"])
    took = milliseconds(model, (picture.image for picture in pictures[:TIMED]), sure_only)
    return Measured(metrics, curves, took, confusion, reliability)
