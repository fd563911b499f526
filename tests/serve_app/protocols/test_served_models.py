"""The names that models, options and outputs have in the tensor protocols, and how options are checked."""

from typing import Any

import pytest

from deployments.calls import InstanceSegmentationOptions, MaskDetectionOptions, ObjectDetectionOptions
from deployments.models.card import TASKS, Task
from serve_app.protocols.served_models import ServedModel, served_models
from tests.serve_app.conftest import MODELS

THREE = served_models(TASKS)
LABELS: dict[Task, tuple[str, ...]] = {
    "mask_detection": ("NO MASK", "MASK"),
    "instance_segmentation": ("person", "dog"),
    "object_detection": ("cup", "bottle"),
}


def test_a_model_for_each_task_and_one_for_all() -> None:
    assert {name: model.tasks for name, model in MODELS.items()} == {
        "mask_detection": ("mask_detection",),
        "instance_segmentation": ("instance_segmentation",),
        "analyze": ("mask_detection", "instance_segmentation"),
    }
    assert list(THREE) == [*TASKS, "analyze"]
    assert THREE["analyze"].tasks == TASKS


def test_a_third_task_changes_no_name_of_the_other_two() -> None:
    for name, model in MODELS.items():
        assert model.options().items() <= THREE[name].options().items()
        assert model.outputs().items() <= THREE[name].outputs().items()


def test_names_of_the_third_task() -> None:
    assert list(THREE["object_detection"].options()) == ["score_threshold", "nms_iou", "classes", "max_objects"]
    assert list(THREE["object_detection"].outputs()) == [
        "detection_boxes",
        "detection_classes",
        "detection_class_names",
        "detection_scores",
        "num_detections",
        "annotated_image",
    ]
    added = THREE["analyze"].options().keys() - MODELS["analyze"].options().keys()
    assert added == {f"object_detection.{name}" for name in THREE["object_detection"].options()}
    added = THREE["analyze"].outputs().keys() - MODELS["analyze"].outputs().keys()
    assert added == {f"object_detection.{name}" for name in THREE["object_detection"].outputs()} - {
        "object_detection.annotated_image"
    }


def test_options_of_one_name_reach_the_task_that_they_are_for() -> None:
    own = {"score_threshold": 0.25, "nms_iou": 0.5, "classes": ["cup"], "max_objects": 7}
    expected = ObjectDetectionOptions(0.25, 0.5, ("cup",), 7)
    assert THREE["object_detection"].analyze_options(own, LABELS).object_detection == expected
    given = {
        "face_threshold": 0.75,
        "score_threshold": 1,
        "classes": ["dog"],
        "max_instances": 3,
        **{f"object_detection.{name}": value for name, value in own.items()},
    }
    options = THREE["analyze"].analyze_options(given, LABELS)
    assert options.tasks == TASKS
    assert options.mask_detection == MaskDetectionOptions(0.75)
    assert options.instance_segmentation == InstanceSegmentationOptions(1.0, ("dog",), 3)
    assert options.object_detection == expected


@pytest.mark.parametrize(
    ("model", "given", "message"),
    [
        (THREE["object_detection"], {"nms_iou": 1.5}, "nms_iou must be a number from 0 to 1, not 1.5"),
        (THREE["object_detection"], {"nms_iou": True}, "nms_iou must be a number"),
        (THREE["object_detection"], {"max_objects": 0}, "max_objects must be a whole number from 1 to 1000, not 0"),
        (THREE["object_detection"], {"classes": ["dog"]}, "classes: 'dog' is not a label of object_detection"),
        (THREE["object_detection"], {"classes": []}, "classes must be a list of one label or more"),
        (THREE["object_detection"], {"max_instances": 3}, "object_detection has no option 'max_instances'; its op"),
        (THREE["analyze"], {"object_detection.classes": ["dog"]}, "object_detection.classes: 'dog' is not a label"),
        (THREE["analyze"], {"classes": ["cup"]}, "classes: 'cup' is not a label of analyze"),
        (THREE["analyze"], {"nms_iou": 0.5}, "analyze has no option 'nms_iou'"),
        (MODELS["analyze"], {"object_detection.nms_iou": 0.5}, "analyze has no option 'object_detection.nms_iou'"),
    ],
)
def test_wrong_options_are_named(model: ServedModel, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        model.analyze_options(given, LABELS)
