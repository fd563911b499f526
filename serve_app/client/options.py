"""What a request may ask for, by Python's names and the service's."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from serve_app.client.photos import Colors

Task = Literal["mask_detection", "instance_segmentation", "object_detection"]


class Options(TypedDict, total=False):
    """What is left out is as the service, or its model, has it by default."""

    tasks: Sequence[Task]
    """Which models to ask."""
    face_threshold: float
    """Least score of a face."""
    score_threshold: float
    """Least score of an instance."""
    classes: Sequence[str]
    """Labels of the instances to keep."""
    max_instances: int
    """Most instances a photo, the best first."""
    object_score_threshold: float
    """Least score of an object."""
    object_nms_iou: float
    """Of two objects of one label whose boxes' intersection over union is larger, the better is kept."""
    object_classes: Sequence[str]
    """Labels of the objects to keep."""
    max_objects: int
    """Most objects a photo, the best first."""
    masks: bool
    """False to leave the instances' masks out, which are most of an answer's bytes."""
    annotate: bool
    """Whether each Analysis has the photo with the answer drawn on it, by the service."""
    colors: Colors
    """The colour order of arrays, which must be stated."""
    timeout_s: float
    """Seconds for the answer, retries and their pauses included."""


NAMES = {
    "tasks": "tasks",
    "face_threshold": "mask_detection.face_threshold",
    "score_threshold": "instance_segmentation.score_threshold",
    "classes": "classes",
    "max_instances": "max_instances",
    "object_score_threshold": "object_detection.score_threshold",
    "object_nms_iou": "object_detection.nms_iou",
    "object_classes": "object_detection.classes",
    "max_objects": "object_detection.max_objects",
    "annotate": "annotate",
}
"""The service's names of the options that it gets."""


def query(options: Options) -> dict[str, str | list[str]]:
    """The service's options as text. Raises TypeError for an option that there is not."""
    given: Mapping[str, object] = options
    unknown = given.keys() - Options.__annotations__.keys()
    if unknown:
        known = ", ".join(Options.__annotations__)
        raise TypeError(f"unknown option {sorted(unknown)[0]!r}; known options: {known}")
    text = {NAMES[name]: _text(value) for name, value in given.items() if name in NAMES}
    return text | {"masks": "rle" if options.get("masks", True) else "none"}


def _text(value: object) -> str | list[str]:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [str(one) for one in value]
    return str(value)
