"""Roboflow's form of an answer: boxes by their centres, masks as one polygon or RLE."""

import uuid
from typing import Any, Literal

import cv2

from deployments.imaging.rle import decode_rle, rle_area, rle_box
from deployments.models.card import ModelCard
from deployments.results import RLE, Box, Detection, Face, Instance
from serve_app.analysis import ImageAnalysis

MaskFormat = Literal["polygon", "rle"]

Point = dict[str, int]


def answer_json(image: ImageAnalysis, card: ModelCard, mask_format: MaskFormat, seconds: float) -> dict[str, Any]:
    """One image's answer, of the model on ``card``."""
    return {
        "inference_id": str(uuid.uuid4()),
        "time": seconds,
        "image": {"width": image.width, "height": image.height},
        "predictions": [prediction_json(found, card, mask_format) for found in image.found(card.task)],
    }


def prediction_json(found: Face | Instance | Detection, card: ModelCard, mask_format: MaskFormat) -> dict[str, Any]:
    """One thing that the model on ``card`` found."""
    if isinstance(found, Face):
        return face_json(found, card.labels.index(found.label))
    prediction = object_json(found)
    return {**prediction, **mask_json(found.mask, mask_format)} if isinstance(found, Instance) else prediction


def face_json(face: Face, class_id: int) -> dict[str, Any]:
    """A face; ``confidence``, which the request's threshold acts on, is the face score, and the label has its own."""
    return {
        **box_json(face.box),
        "confidence": face.face_score,
        "class": face.label,
        "class_confidence": face.confidence,
        "class_id": class_id,
        "detection_id": str(uuid.uuid4()),
    }


def object_json(found: Instance | Detection) -> dict[str, Any]:
    """An instance or object, without a mask."""
    return {
        **box_json(found.box),
        "confidence": found.score,
        "class": found.label,
        "class_id": found.label_id,
        "detection_id": str(uuid.uuid4()),
    }


def mask_json(mask: RLE, mask_format: MaskFormat) -> dict[str, Any]:
    """A mask, and what form it has."""
    form: dict[str, Any] = {"points": outline(mask)} if mask_format == "polygon" else {"rle": mask}
    return {**form, "mask_format": mask_format}


def box_json(box: Box) -> dict[str, float]:
    """Centre and size in pixels."""
    return {
        "x": (box.left + box.right) / 2,
        "y": (box.top + box.bottom) / 2,
        "width": box.right - box.left,
        "height": box.bottom - box.top,
    }


def outline(mask: RLE) -> list[Point]:
    """The outer border of the mask's largest part, by its pixels, as Roboflow's clients fill it in again.

    One polygon holds neither holes nor further parts; RLE does. At least three points, since clients drop the masks of
    a whole picture for a polygon with fewer; none for an empty mask.
    """
    if rle_area(mask) == 0:
        return []
    box = rle_box(mask)
    left, top, right, bottom = (int(side) for side in (box.left, box.top, box.right, box.bottom))
    window = decode_rle(mask)[top:bottom, left:right].astype("uint8")
    contours, _ = cv2.findContours(window, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(left, top))
    # Lines have no area: the longer goes first.
    largest = max(contours, key=lambda contour: (cv2.contourArea(contour), len(contour)))
    points = [{"x": int(x), "y": int(y)} for x, y in largest[:, 0]]
    return points + points[-1:] * (3 - len(points))
