"""Answers in the terms of TensorFlow's Object Detection API, which KServe's and TensorFlow Serving's clients read."""

from collections.abc import Collection, Mapping, Sequence
from math import ceil, floor
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.imaging.decode import decode
from deployments.imaging.draw import draw, encode_picture
from deployments.imaging.rle import decode_rle
from deployments.models.card import Task
from deployments.results import Box, Face, Instance
from serve_app.analysis import AnalyzeRequest, EncodedImage, ImageAnalysis
from serve_app.pipeline import Pipeline
from serve_app.protocols.served_models import MASK_SIDE, OUTPUTS, PICTURE, WEARERS, ServedModel

MAX_MASK_BYTES = 64 * 1024 * 1024
MAX_PICTURE_PIXELS = 1_800_000
"""Larger annotated pictures are shrunk to this, so that one fits gRPC clients' default limit of 4 MiB a message."""
MAX_PICTURE_BYTES = 64 * 1024 * 1024


class AnswerTooLarge(ValueError):
    """An output that would take more memory than is allowed; the message says which, and what to do."""


def columns(
    model: ServedModel, images: Sequence[ImageAnalysis], labels: Mapping[Task, Sequence[str]], wanted: Collection[str]
) -> dict[str, NDArray[Any]]:
    """The outputs in ``wanted``, but for the picture, as ``ServedModel.outputs`` describes them.

    Strings are str in object arrays, masks in RLE the RLE itself or None. Raises AnswerTooLarge.
    """
    made: dict[str, NDArray[Any]] = {}
    for task in model.tasks:
        names = {name for name in OUTPUTS[task] if model.output_name(task, name) in wanted}
        for name, column in _task_columns(task, images, labels[task], names).items():
            made[model.output_name(task, name)] = column
    if WEARERS in wanted:
        made[WEARERS] = _padded([_faces_of_instances(image) for image in images], np.int32, fill=-1)
    return made


def lengths(model: ServedModel, image: ImageAnalysis) -> dict[str, int]:
    """How much of an image's row is no padding, of each output that has a row of detections."""
    rows = {
        model.output_name(task, name): len(image.found(task))
        for task in model.tasks
        for name, spec in OUTPUTS[task].items()
        if len(spec.shape) > 1
    }
    return rows | ({WEARERS: len(image.instances)} if len(model.tasks) > 1 else {})


async def pictures(pipeline: Pipeline, request: AnalyzeRequest, images: Sequence[ImageAnalysis]) -> list[bytes]:
    """A PNG of every image with its answer drawn, of at most MAX_PICTURE_PIXELS each. Raises AnswerTooLarge.

    Decodes the images again, one at a time: keeping the pixels of every image of a request would take gigabytes.
    """
    made: list[bytes] = []
    for source, image in zip(request.images, images, strict=True):
        made.append(await pipeline.on_thread(_annotated, source, image, pipeline.max_pixels))
        if sum(map(len, made)) > MAX_PICTURE_BYTES:
            raise AnswerTooLarge(
                f"{PICTURE} would take more than {MAX_PICTURE_BYTES} bytes. Send fewer images, or leave it out with an "
                "output filter"
            )
    return made


def _annotated(source: EncodedImage | NDArray[np.uint8], found: ImageAnalysis, max_pixels: int) -> bytes:
    pixels = decode(source.data, max_pixels) if isinstance(source, EncodedImage) else source
    picture = draw(pixels, found.faces, found.instances, found.objects)
    height, width = picture.shape[:2]
    shrink = (MAX_PICTURE_PIXELS / (height * width)) ** 0.5
    if shrink < 1:
        size = max(1, int(width * shrink)), max(1, int(height * shrink))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    return encode_picture(picture, "png")


def _task_columns(
    task: Task, images: Sequence[ImageAnalysis], labels: Sequence[str], wanted: Collection[str]
) -> dict[str, NDArray[Any]]:
    made: dict[str, NDArray[Any]] = {}
    found = [image.found(task) for image in images]
    if "detection_boxes" in wanted:
        boxes = [[_normalised(one.box, image) for one in many] for many, image in zip(found, images, strict=True)]
        made["detection_boxes"] = _padded(boxes, np.float32, (4,))
    if "detection_classes" in wanted:
        classes = [
            [1 + (labels.index(one.label) if isinstance(one, Face) else one.label_id) for one in many] for many in found
        ]
        made["detection_classes"] = _padded(classes, np.float32)
    if "detection_class_names" in wanted:
        made["detection_class_names"] = _padded([[one.label for one in many] for many in found], np.object_, fill="")
    if "detection_scores" in wanted:
        scores = [[one.confidence if isinstance(one, Face) else one.score for one in many] for many in found]
        made["detection_scores"] = _padded(scores, np.float32)
    if "num_detections" in wanted:
        made["num_detections"] = np.array([len(many) for many in found], np.float32)
    if "detection_masks" in wanted:
        made["detection_masks"] = _box_masks([image.instances for image in images])
    if "detection_masks_rle" in wanted:
        masks = [[instance.mask for instance in image.instances] for image in images]
        made["detection_masks_rle"] = _padded(masks, np.object_, fill=None)
    return made


def _padded(
    rows: Sequence[Sequence[Any]], dtype: type[np.generic], shape: tuple[int, ...] = (), fill: object = 0
) -> NDArray[Any]:
    """Rows of unlike lengths as one array [len(rows), longest, *shape]."""
    column = np.full((len(rows), max(map(len, rows)), *shape), fill, dtype)
    for row, values in zip(column, rows, strict=True):
        for index, value in enumerate(values):
            row[index] = value
    return column


def _normalised(box: Box, image: ImageAnalysis) -> tuple[float, float, float, float]:
    """ymin, xmin, ymax, xmax in [0, 1]: a face's box may reach beyond the picture, these do not."""
    sides = box.top / image.height, box.left / image.width, box.bottom / image.height, box.right / image.width
    ymin, xmin, ymax, xmax = (min(max(side, 0.0), 1.0) for side in sides)
    return ymin, xmin, ymax, xmax


def _box_masks(instances: Sequence[Sequence[Instance]]) -> NDArray[np.float32]:
    """Masks within their boxes, float32 [N, D, MASK_SIDE, MASK_SIDE] in [0, 1]. Raises AnswerTooLarge."""
    shape = len(instances), max(map(len, instances)), MASK_SIDE, MASK_SIDE
    size = 4 * int(np.prod(shape))
    if size > MAX_MASK_BYTES:
        raise AnswerTooLarge(
            f"detection_masks would take {size} bytes; the limit is {MAX_MASK_BYTES}. Send fewer images, set "
            "max_instances, or ask for detection_masks_rle instead with an output filter"
        )
    masks = np.zeros(shape, np.float32)
    for row, many in zip(masks, instances, strict=True):
        for index, instance in enumerate(many):
            row[index] = _box_mask(instance)
    return masks


def _box_mask(instance: Instance) -> NDArray[np.float32]:
    box = instance.box
    window = decode_rle(instance.mask)[floor(box.top) : ceil(box.bottom), floor(box.left) : ceil(box.right)]
    if window.size == 0:
        return np.zeros((MASK_SIDE, MASK_SIDE), np.float32)
    shares = cv2.resize(window.astype(np.float32), (MASK_SIDE, MASK_SIDE), interpolation=cv2.INTER_AREA)
    return np.round(shares, 3).astype(np.float32)


def _faces_of_instances(image: ImageAnalysis) -> list[int]:
    faces = [-1] * len(image.instances)
    for person in image.people:
        if person.face is not None:
            faces[person.instance] = person.face
    return faces
