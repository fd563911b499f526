"""Outputs of the Open Inference Protocol: tensors of what was found."""

from math import prod

import numpy as np
import orjson
import pytest

from deployments.imaging.masks import encode_rle
from deployments.imaging.rle import decode_rle
from deployments.models.card import TASKS
from deployments.results import Box, Detection, Face, Instance
from serve_app.analysis import Failure, ImageAnalysis
from serve_app.people import Person
from serve_app.protocols.detections import AnswerTooLarge
from serve_app.protocols.open_inference.tensors import NUMPY, output_specs, output_tensors
from serve_app.protocols.served_models import ServedModel, served_models
from tests.serve_app.conftest import MODELS
from tests.serve_app.protocols.open_inference.found import outputs

THREE = served_models(TASKS)
OBJECT_COLUMNS = ["boxes", "labels", "label_ids", "scores", "image_index"]
OBJECT_OUTPUTS = {
    "object_detection": OBJECT_COLUMNS,
    "analyze": [f"object_detection.{name}" for name in OBJECT_COLUMNS],
}


def face(left: float = 1.0) -> Face:
    return Face(Box(left, 2.0, 3.5, 4.25), 0.75, "NO MASK", 0.5)


def instance(height: int, width: int) -> Instance:
    mask = np.zeros((height, width), bool)
    mask[1:3, : width // 2] = True
    return Instance(0, "person", 0.875, Box(0, 1, width // 2, 3), encode_rle(mask), int(mask.sum()))


def two_images() -> list[ImageAnalysis]:
    """A face and a person in the first, one that could not be read, and a face and two people in the third."""
    return [
        ImageAnalysis(None, 8, 4, [face()], [instance(4, 8)], [Person(0, 0, "NO MASK")]),
        ImageAnalysis(None, errors=[Failure("unreadable_image", "the picture is empty")]),
        ImageAnalysis(None, 4, 6, [face(9.0)], [instance(6, 4)] * 2, [Person(0, None, None), Person(1, 0, "NO MASK")]),
    ]


def with_objects(images: list[ImageAnalysis]) -> list[ImageAnalysis]:
    """The same with a cup in the first and two in the last."""
    cup = Detection(4, "cup", 0.625, Box(1, 2, 3, 4))
    images[0].objects, images[-1].objects = [cup], [cup, cup]
    return images


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("images", [two_images(), [ImageAnalysis(None, 8, 4)]], ids=["full", "nothing found"])
def test_every_output_has_the_datatype_and_shape_that_metadata_says(model: str, images: list[ImageAnalysis]) -> None:
    check_against_metadata(MODELS[model], images)


@pytest.mark.parametrize("model", ["object_detection", "analyze"])
def test_so_it_is_with_a_third_task(model: str) -> None:
    check_against_metadata(THREE[model], with_objects(two_images()))


def check_against_metadata(model: ServedModel, images: list[ImageAnalysis]) -> None:
    specs = output_specs(model)
    made = {tensor.name: tensor for tensor in output_tensors(model, images, list(specs))}
    assert list(made) == list(specs)
    for name, tensor in made.items():
        assert tensor.datatype == specs[name].datatype
        assert len(tensor.shape) == len(specs[name].shape)
        assert all(said in (-1, size) for said, size in zip(specs[name].shape, tensor.shape, strict=True))
        if isinstance(tensor.values, list):
            assert tensor.datatype == "BYTES"
            assert len(tensor.values) == prod(tensor.shape)
        else:
            assert tensor.values.dtype == np.dtype(NUMPY[tensor.datatype])
            assert tensor.values.shape == tensor.shape


def test_rows_tell_whose_image_they_are() -> None:
    made = outputs("analyze", two_images())
    assert np.asarray(made["mask_detection.boxes"].values).tolist() == [[1, 2, 3.5, 4.25], [9, 2, 3.5, 4.25]]
    assert np.asarray(made["mask_detection.image_index"].values).tolist() == [0, 2]
    assert np.asarray(made["instance_segmentation.image_index"].values).tolist() == [0, 2, 2]
    assert np.asarray(made["image_sizes"].values).tolist() == [[4, 8], [0, 0], [6, 4]]
    assert made["errors"].values == [b"", b"the picture is empty", b""]


def test_objects_have_rows_of_their_own_in_both_models() -> None:
    alone, among = (output_tensors(THREE[m], with_objects(two_images()), names) for m, names in OBJECT_OUTPUTS.items())
    assert [tensor.name for tensor in among] == [f"object_detection.{tensor.name}" for tensor in alone]
    for tensors in (alone, among):
        boxes, labels, label_ids, scores, image_index = (tensor.values for tensor in tensors)
        assert np.asarray(boxes).tolist() == [[1, 2, 3, 4]] * 3
        assert labels == [b"cup"] * 3
        assert np.asarray(label_ids).tolist() == [4] * 3
        assert np.asarray(scores).tolist() == [0.625] * 3
        assert np.asarray(image_index).tolist() == [0, 2, 2]


def test_people_point_at_rows_of_the_tensors() -> None:
    made = outputs("analyze", two_images())
    assert np.asarray(made["people.instances"].values).tolist() == [0, 1, 2]
    assert np.asarray(made["people.faces"].values).tolist() == [0, -1, 1]
    assert made["people.labels"].values == [b"NO MASK", b"", b"NO MASK"]
    assert np.asarray(made["people.image_index"].values).tolist() == [0, 2, 2]


def test_masks_are_json_of_coco_rle_and_dense_masks_the_same_pixels() -> None:
    made = outputs("instance_segmentation", two_images(), "dense_masks", "masks")
    assert list(made) == ["dense_masks", "masks"]
    dense = np.asarray(made["dense_masks"].values)
    assert dense.shape == (3, 6, 8)
    for mask, rle in zip(dense, made["masks"].values, strict=True):
        exact = decode_rle(orjson.loads(rle))
        height, width = exact.shape
        assert np.array_equal(mask[:height, :width], exact)
        assert mask.sum() == exact.sum() > 0


def test_dense_masks_beyond_the_limit_are_refused_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_app.protocols.open_inference.tensors.MAX_DENSE_BYTES", 3 * 6 * 8 - 1)
    with pytest.raises(AnswerTooLarge, match="144 bytes for 3 instances; the limit is 143"):
        outputs("instance_segmentation", two_images(), "dense_masks")
