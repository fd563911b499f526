"""Writes the native answer to ``POST /analyze``. The types here are its documentation too."""

import base64
from collections.abc import Callable, Sequence
from typing import Any, Literal, NotRequired

import orjson

# pydantic reads the standard library's only from Python 3.12 on
from typing_extensions import TypedDict

from deployments.imaging.draw import LONGEST_JPEG_SIDE, draw, encode_picture
from deployments.imaging.masks import to_png
from deployments.imaging.polygons import to_polygons
from deployments.imaging.rle import decode_rle
from deployments.models.card import Task
from deployments.results import RLE, Box, Detection, Face, FaceLabel, Instance
from serve_app.analysis import Analysis, Failure, ImageAnalysis
from serve_app.http.errors import RequestError
from serve_app.pipeline import Pipeline
from serve_app.protocols.native.options import MaskForm

PictureFormat = Literal["jpeg", "png"]
Picture = tuple[bytes, PictureFormat]
"""A picture file and what it is."""


class BoxJson(TypedDict):
    """Pixels of the upright original image; right and bottom exclusive."""

    left: float
    top: float
    right: float
    bottom: float


class FaceJson(TypedDict):
    """A face; ``confidence`` is the probability of ``label``."""

    label: FaceLabel
    confidence: float
    face_score: float
    box: BoxJson
    person: int | None
    """Index in ``instances`` of the person whose face it is."""


class RleJson(TypedDict):
    """COCO's compressed RLE; ``size`` is [height, width]."""

    size: list[int]
    counts: str


class PolygonJson(TypedDict):
    """One 4-connected part of a mask, outlined along pixel edges; rings of [x, y], not closed."""

    exterior: list[list[int]]
    holes: list[list[list[int]]]


class InstanceJson(TypedDict):
    """An object; ``area`` is its number of mask pixels."""

    label: str
    label_id: int
    score: float
    box: BoxJson
    area: int
    mask: NotRequired[RleJson | list[PolygonJson] | str]


class ObjectJson(TypedDict):
    """An object of the branch ``object_detection``, known by its box only."""

    label: str
    label_id: int
    score: float
    box: BoxJson


class PersonJson(TypedDict):
    """A person by the index of its instance, with the index of the face tied to it and what that wears, if any."""

    instance: int
    face: int | None
    mask: FaceLabel | None


class FailureJson(TypedDict):
    """What went wrong with an image, or with one task on it."""

    code: str
    message: str
    task: NotRequired[Task]


class ImageJson(TypedDict):
    """Everything found in one image; ``id`` counts from 1, width and height are 0 where it could not be read."""

    id: int
    name: str | None
    width: int
    height: int
    faces: list[FaceJson]
    instances: list[InstanceJson]
    people: list[PersonJson]
    errors: list[FailureJson]
    objects: NotRequired[list[ObjectJson]]
    """Where that task was asked for."""
    annotated: NotRequired[str | None]


class StepJson(TypedDict):
    """Milliseconds before the model ran, and while."""

    queue: float
    run: float


class TimingJson(TypedDict):
    """Milliseconds: of the whole request, and of the slowest image at each step."""

    total: float
    decode: NotRequired[float]
    mask_detection: NotRequired[StepJson]
    instance_segmentation: NotRequired[StepJson]
    object_detection: NotRequired[StepJson]


class AnswerJson(TypedDict):
    """The combined answer."""

    images: list[ImageJson]
    models: dict[Task, str]
    request_id: str
    timing_ms: TimingJson


async def write_answer(
    pipeline: Pipeline,
    analysis: Analysis,
    masks: MaskForm,
    request_id: str,
    pictures: Sequence[Picture | None] | None,
) -> bytes:
    """The answer as JSON; ``pictures``, one an image, where they were asked for."""
    images: list[ImageJson] = []
    for index, image in enumerate(analysis.images):
        written = image_json(index + 1, image)
        if "object_detection" in analysis.models:
            written["objects"] = [object_json(found) for found in image.objects]
        if masks != "none":
            for instance, entry in zip(image.instances, written["instances"], strict=True):
                entry["mask"] = (
                    instance.mask if masks == "rle" else await pipeline.on_thread(MASK_WRITERS[masks], instance.mask)
                )
        if pictures is not None:
            picture = pictures[index]
            written["annotated"] = data_uri(*picture) if picture else None
        images.append(written)
    answer: AnswerJson = {
        "images": images,
        "models": analysis.models,
        "request_id": request_id,
        "timing_ms": timing_json(analysis),
    }
    return orjson.dumps(answer)


def image_json(number: int, image: ImageAnalysis) -> ImageJson:
    """One image's entry, but for masks, objects and picture."""
    holder_of = {person.face: person.instance for person in image.people if person.face is not None}
    return {
        "id": number,
        "name": image.name,
        "width": image.width,
        "height": image.height,
        "faces": [face_json(face, holder_of.get(index)) for index, face in enumerate(image.faces)],
        "instances": [instance_json(instance) for instance in image.instances],
        "people": [{"instance": p.instance, "face": p.face, "mask": p.mask} for p in image.people],
        "errors": [failure_json(failure) for failure in image.errors],
    }


def face_json(face: Face, person: int | None) -> FaceJson:
    """A face's entry; ``person`` is the index of the instance that holds it."""
    return {
        "label": face.label,
        "confidence": round(face.confidence, 4),
        "face_score": round(face.face_score, 4),
        "box": box_json(face.box),
        "person": person,
    }


def instance_json(instance: Instance) -> InstanceJson:
    """An instance's entry, without its mask."""
    return {
        "label": instance.label,
        "label_id": instance.label_id,
        "score": round(instance.score, 4),
        "box": box_json(instance.box),
        "area": instance.area,
    }


def object_json(found: Detection) -> ObjectJson:
    """An object's entry."""
    return {
        "label": found.label,
        "label_id": found.label_id,
        "score": round(found.score, 4),
        "box": box_json(found.box),
    }


def box_json(box: Box) -> BoxJson:
    """To a hundredth of a pixel."""
    return {
        "left": round(box.left, 2),
        "top": round(box.top, 2),
        "right": round(box.right, 2),
        "bottom": round(box.bottom, 2),
    }


def failure_json(failure: Failure) -> FailureJson:
    """An entry of ``errors``."""
    written: FailureJson = {"code": failure.code, "message": failure.message}
    if failure.task is not None:
        written["task"] = failure.task
    return written


def timing_json(analysis: Analysis) -> TimingJson:
    """The request's total, and each step's largest figure among the images, which run side by side."""
    timing: dict[str, Any] = {}
    for image in analysis.images:
        for step, value in image.timing_ms.items():
            if isinstance(value, dict):
                largest = timing.setdefault(step, dict(value))
                timing[step] = {key: max(value[key], largest[key]) for key in value}
            else:
                timing[step] = max(value, timing.get(step, 0.0))
    return {**timing, "total": analysis.total_ms}  # type: ignore[typeddict-item]


def polygons_fragment(mask: RLE) -> orjson.Fragment:
    """A mask's polygons, serialised already: they may be long."""
    return orjson.Fragment(orjson.dumps(to_polygons(decode_rle(mask))))


def png_uri(mask: RLE) -> str:
    """A mask's PNG as a data URI."""
    return data_uri(to_png(mask), "png")


MASK_WRITERS: dict[str, Callable[[RLE], Any]] = {"polygon": polygons_fragment, "png": png_uri}


def data_uri(data: bytes, format: PictureFormat) -> str:
    """A picture file as a data URI."""
    return f"data:image/{format};base64,{base64.b64encode(data).decode('ascii')}"


def annotated(image: ImageAnalysis, format: PictureFormat | None) -> Picture | None:
    """The picture with its answer drawn on it, None if it could not be read; frees the pixels.

    Without a ``format`` it is JPEG where that holds the picture, else PNG. Raises RequestError 406 where ``format`` is
    JPEG and the picture is too long for it.
    """
    pixels, image.pixels = image.pixels, None
    if pixels is None:
        return None
    fits_jpeg = max(pixels.shape) <= LONGEST_JPEG_SIDE
    if format == "jpeg" and not fits_jpeg:
        raise RequestError(
            406, "not_acceptable", f"a picture with a side over {LONGEST_JPEG_SIDE} pixels is no JPEG; accept image/png"
        )
    chosen = format or ("jpeg" if fits_jpeg else "png")
    return encode_picture(draw(pixels, image.faces, image.instances, image.objects), chosen), chosen
