"""The models that the tensor protocols serve: names, options, and outputs in TensorFlow's terms."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from deployments.models.card import OPTIONS as OPTIONS_OF_TASK
from deployments.models.card import ModelCard, Task
from serve_app.analysis import AnalyzeOptions

SIGNATURE = "serving_default"
"""The one signature of every model."""
LABEL = "stable"
"""The version label that names the version in service."""
IMAGES = "images"
OTHER_NAMES_OF_IMAGES = ("inputs", "input_tensor")
"""What models exported by TensorFlow's Object Detection API call theirs, so that their clients need no change."""
PICTURE = "annotated_image"
WEARERS = "instance_faces"
MASK_SIDE = 64
"""Height and width of a dense mask, whatever its box: COCO-size detail at a size that does not grow with the photo."""
MOST_FOUND = 1000
"""The most that ``max_instances`` and ``max_objects`` may be."""


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
    "object_detection": {
        "score_threshold": TensorSpec("DT_FLOAT", ()),
        "nms_iou": TensorSpec("DT_FLOAT", ()),
        "classes": TensorSpec("DT_STRING", (-1,)),
        "max_objects": TensorSpec("DT_INT32", ()),
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
OUTPUTS: dict[Task, dict[str, TensorSpec]] = {
    "mask_detection": BOXES,
    "instance_segmentation": {**BOXES, **MASKS},
    "object_detection": BOXES,
}


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model as clients name it: that of one task, or ``analyze``, which is all of a service's tasks together."""

    name: str
    tasks: tuple[Task, ...]

    def version(self, cards: Mapping[Task, ModelCard]) -> int:
        """By its tasks' cards: that of the one, of ``analyze`` the newest of its parts'."""
        return max(int(cards[task].version) for task in self.tasks)

    def output_name(self, task: Task, name: str) -> str:
        """The name of a task's output; among several tasks' it carries its own: ``TASK.detection_boxes``."""
        return name if len(self.tasks) == 1 else f"{task}.{name}"

    def option_name(self, task: Task, name: str) -> str:
        """The name of a task's option; those of object detection carry it beside instance segmentation's namesakes."""
        return self.output_name(task, name) if task == "object_detection" else name

    def options(self) -> dict[str, TensorSpec]:
        """What a request may set."""
        return {self.option_name(task, name): spec for task in self.tasks for name, spec in OPTIONS[task].items()}

    def inputs(self) -> dict[str, TensorSpec]:
        """What the model takes: ``images``, and its options, which may be left out."""
        return {IMAGES: TensorSpec("DT_STRING", (-1,)), **self.options()}

    def outputs(self) -> dict[str, TensorSpec]:
        """What the model answers in TensorFlow's terms, in a fixed order.

        With N images and D detections in the image that has most (the others' rows end in zeros): boxes are ymin, xmin,
        ymax, xmax as fractions of the image; classes count from 1, since 0 is padding; masks are the share of each cell
        that is covered, in a grid over the detection's own box, as ``reframe_box_masks_to_image_masks`` expects;
        ``detection_masks_rle`` are the exact masks, COCO RLE at the image's size; ``annotated_image`` is a PNG;
        ``instance_faces`` is the index of the face that a person instance holds, or -1.
        """
        specs = {self.output_name(task, name): spec for task in self.tasks for name, spec in OUTPUTS[task].items()}
        if len(self.tasks) > 1:
            specs[WEARERS] = TensorSpec("DT_INT32", (-1, -1))
        specs[PICTURE] = TensorSpec("DT_STRING", (-1,))
        return specs

    def analyze_options(self, given: Mapping[str, Any], labels: Mapping[Task, Collection[str]]) -> AnalyzeOptions:
        """A request's options, checked; ``labels`` of a task are those that its ``classes`` may name.

        Raises ValueError naming the option.
        """
        known = self.options()
        for name in given:
            if name not in known:
                raise ValueError(f"{self.name} has no option {name[:100]!r}; its options are {', '.join(known)}")
        options = {task: OPTIONS_OF_TASK[task](**self._given(task, given, labels[task])) for task in self.tasks}
        return AnalyzeOptions(tasks=self.tasks, **options)  # type: ignore[arg-type]

    def _given(self, task: Task, given: Mapping[str, Any], labels: Collection[str]) -> dict[str, Any]:
        """The options of one task that a request sets, by their names in the task."""
        values: dict[str, Any] = {}
        for own_name, spec in OPTIONS[task].items():
            name = self.option_name(task, own_name)
            value = given.get(name)
            if value is None:
                continue
            match spec.dtype:
                case "DT_FLOAT":
                    values[own_name] = _fraction(name, value)
                case "DT_INT32":
                    values[own_name] = _count(name, value)
                case "DT_STRING":
                    values[own_name] = self._classes(name, value, labels)
        return values

    def _classes(self, name: str, value: object, labels: Collection[str]) -> tuple[str, ...]:
        if not isinstance(value, list) or not value:
            raise ValueError(f"{name} must be a list of one label or more")
        for label in value:
            if not isinstance(label, str) or label not in labels:
                raise ValueError(f"{name}: {str(label)[:100]!r} is not a label of {self.name}")
        return tuple(value)


def served_models(tasks: Iterable[Task]) -> dict[str, ServedModel]:
    """By name, the models of a service that has branches for these tasks."""
    every = tuple(tasks)
    models: dict[str, ServedModel] = {task: ServedModel(task, (task,)) for task in every}
    return models | {"analyze": ServedModel("analyze", every)}


def _fraction(name: str, value: object) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 1:  # type: ignore[operator]
        raise ValueError(f"{name} must be a number from 0 to 1, not {str(value)[:100]}")
    return float(value)  # type: ignore[arg-type]


def _count(name: str, value: object) -> int:
    if type(value) is not int or not 1 <= value <= MOST_FOUND:
        raise ValueError(f"{name} must be a whole number from 1 to {MOST_FOUND}, not {str(value)[:100]}")
    return value
