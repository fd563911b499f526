"""Answers in the terms of TensorFlow's Object Detection API, which KServe's and TensorFlow Serving's clients read."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.calls import InstanceSegmentationOptions, MaskDetectionOptions
from deployments.imaging.decode import decode
from deployments.imaging.draw import draw, encode_picture
from deployments.imaging.masks import decode_rle
from deployments.models.card import TASKS, Task
from deployments.results import Box, Face, Instance
from serve_app.pipeline import AnalyzeOptions, AnalyzeRequest, Branch, EncodedImage, ImageAnalysis, Pipeline

SIGNATURE = "serving_default"
"""The one signature of every model."""
LABEL = "stable"
"""The version label that names the version in service."""
MODELS: dict[str, tuple[Task, ...]] = {**{task: (task,) for task in TASKS}, "analyze": TASKS}
"""The tasks of each model as clients name it; with several, output names carry their task: ``TASK.detection_boxes``."""

MASK_SIDE = 64
"""Height and width of a dense mask, whatever its box: COCO-size detail at a size that does not grow with the photo."""
MOST_INSTANCES = 1000
MAX_MASK_BYTES = 64 * 1024 * 1024
MAX_PICTURE_PIXELS = 1_800_000
"""Larger annotated pictures are shrunk to this, so that one fits gRPC clients' default limit of 4 MiB a message."""
MAX_PICTURE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Type and shape of an input or output; -1 is a size that varies."""

    dtype: Literal["DT_STRING", "DT_FLOAT", "DT_INT32"]
    shape: tuple[int, ...]


OPTIONS: dict[Task, dict[str, TensorSpec]] = {
    "mask_detection": {"face_threshold": TensorSpec("DT_FLOAT", ())},
    "instance_segmentation": {
        "score_threshold": TensorSpec("DT_FLOAT", ()),
        "classes": TensorSpec("DT_STRING", (-1,)),
        "max_instances": TensorSpec("DT_INT32", ()),
    },
}
BOXES = {
    "detection_boxes": TensorSpec("DT_FLOAT", (-1, -1, 4)),
    "detection_classes": TensorSpec("DT_FLOAT", (-1, -1)),
    "detection_class_names": TensorSpec("DT_STRING", (-1, -1)),
    "detection_scores": TensorSpec("DT_FLOAT", (-1, -1)),
    "num_detections": TensorSpec("DT_FLOAT", (-1,)),
}
MASKS = {
    "detection_masks": TensorSpec("DT_FLOAT", (-1, -1, MASK_SIDE, MASK_SIDE)),
    "detection_masks_rle": TensorSpec("DT_STRING", (-1, -1)),
}
OUTPUTS: dict[Task, dict[str, TensorSpec]] = {"mask_detection": BOXES, "instance_segmentation": {**BOXES, **MASKS}}
PICTURE = "annotated_image"
WEARERS = "instance_faces"


class AnswerTooLarge(ValueError):
    """An output that would take more memory than is allowed; the message says which, and what to do."""


def model_version(model: str, branches: Mapping[Task, Branch]) -> int:
    """The version in service: that of the model's card, of ``analyze`` the newest of its parts'."""
    return max(int(branches[task].card.version) for task in MODELS[model])


def model_inputs(model: str) -> dict[str, TensorSpec]:
    """What a model takes: ``images``, and its options, which may be left out."""
    options = {name: spec for task in MODELS[model] for name, spec in OPTIONS[task].items()}
    return {"images": TensorSpec("DT_STRING", (-1,)), **options}


def model_outputs(model: str) -> dict[str, TensorSpec]:
    """What a model answers, in a fixed order.

    With N images and D detections in the image that has most (the others' rows end in zeros): boxes are ymin, xmin,
    ymax, xmax as fractions of the image; classes count from 1, since 0 is padding; masks are the share of each cell
    that is covered, in a grid over the detection's own box, as ``reframe_box_masks_to_image_masks`` expects;
    ``detection_masks_rle`` are the exact masks, COCO RLE at the image's size; ``annotated_image`` is a PNG;
    ``instance_faces`` is the index of the face that a person instance holds, or -1.
    """
    tasks = MODELS[model]
    outputs = {output_name(model, task, name): spec for task in tasks for name, spec in OUTPUTS[task].items()}
    if len(tasks) > 1:
        outputs[WEARERS] = TensorSpec("DT_INT32", (-1, -1))
    outputs[PICTURE] = TensorSpec("DT_STRING", (-1,))
    return outputs


def output_name(model: str, task: Task, name: str) -> str:
    """The name that a task's output has in a model."""
    return name if len(MODELS[model]) == 1 else f"{task}.{name}"


def analyze_options(model: str, given: Mapping[str, Any], labels: Collection[str]) -> AnalyzeOptions:
    """A request's options, checked; ``labels`` are those that ``classes`` may name.

    Raises ValueError naming the option.
    """
    known = [name for name in model_inputs(model) if name != "images"]
    for name in given:
        if name not in known:
            raise ValueError(f"{model} has no option {name[:100]!r}; its options are {', '.join(known)}")
    classes = given.get("classes")
    if classes is not None:
        if not isinstance(classes, list) or not classes:
            raise ValueError("classes must be a list of one label or more")
        for label in classes:
            if not isinstance(label, str) or label not in labels:
                raise ValueError(f"classes: {str(label)[:100]!r} is not a label of {model}")
    most = given.get("max_instances")
    if most is not None and (type(most) is not int or not 1 <= most <= MOST_INSTANCES):
        raise ValueError(f"max_instances must be a whole number from 1 to {MOST_INSTANCES}, not {str(most)[:100]}")
    return AnalyzeOptions(
        tasks=MODELS[model],
        mask_detection=MaskDetectionOptions(_threshold(given, "face_threshold")),
        instance_segmentation=InstanceSegmentationOptions(
            _threshold(given, "score_threshold"), None if classes is None else tuple(classes), most
        ),
    )


def _threshold(given: Mapping[str, Any], name: str) -> float | None:
    value = given.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise ValueError(f"{name} must be a number from 0 to 1, not {str(value)[:100]}")
    return float(value)


def columns(
    model: str, images: Sequence[ImageAnalysis], labels: Mapping[Task, Sequence[str]], wanted: Collection[str]
) -> dict[str, NDArray[Any]]:
    """The outputs in ``wanted``, but for the picture, as ``model_outputs`` describes them.

    Strings are str in object arrays, masks in RLE the RLE itself or None. Raises AnswerTooLarge.
    """
    made: dict[str, NDArray[Any]] = {}
    for task in MODELS[model]:
        names = {name for name in OUTPUTS[task] if output_name(model, task, name) in wanted}
        for name, column in _task_columns(task, images, labels[task], names).items():
            made[output_name(model, task, name)] = column
    if WEARERS in wanted:
        made[WEARERS] = _padded([_faces_of_instances(image) for image in images], np.int32, fill=-1)
    return made


def lengths(model: str, image: ImageAnalysis) -> dict[str, int]:
    """How much of an image's row is no padding, of each output that has a row of detections."""
    count = {task: len(_found(task, image)) for task in MODELS[model]}
    rows = {
        output_name(model, task, name): count[task]
        for task in MODELS[model]
        for name, spec in OUTPUTS[task].items()
        if len(spec.shape) > 1
    }
    return rows | ({WEARERS: len(image.instances)} if len(MODELS[model]) > 1 else {})


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
    picture = draw(pixels, found.faces, found.instances)
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
    found = [_found(task, image) for image in images]
    if "detection_boxes" in wanted:
        boxes = [[_normalised(one.box, image) for one in many] for many, image in zip(found, images, strict=True)]
        made["detection_boxes"] = _padded(boxes, np.float32, (4,))
    if "detection_classes" in wanted:
        classes = [
            [1 + (one.label_id if isinstance(one, Instance) else labels.index(one.label)) for one in many]
            for many in found
        ]
        made["detection_classes"] = _padded(classes, np.float32)
    if "detection_class_names" in wanted:
        made["detection_class_names"] = _padded([[one.label for one in many] for many in found], np.object_, fill="")
    if "detection_scores" in wanted:
        scores = [[one.score if isinstance(one, Instance) else one.confidence for one in many] for many in found]
        made["detection_scores"] = _padded(scores, np.float32)
    if "num_detections" in wanted:
        made["num_detections"] = np.array([len(many) for many in found], np.float32)
    if "detection_masks" in wanted:
        made["detection_masks"] = _box_masks([image.instances for image in images])
    if "detection_masks_rle" in wanted:
        masks = [[instance.mask for instance in image.instances] for image in images]
        made["detection_masks_rle"] = _padded(masks, np.object_, fill=None)
    return made


def _found(task: Task, image: ImageAnalysis) -> Sequence[Face] | Sequence[Instance]:
    return image.faces if task == "mask_detection" else image.instances


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
