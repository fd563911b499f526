"""The protocol's core: tensors from and to values, parameters, partial failure, statistics."""

import re
from math import prod

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.calls import ObjectDetectionOptions
from deployments.imaging.masks import encode_rle
from deployments.imaging.rle import decode_rle
from deployments.models.card import TASKS, Task
from deployments.results import Box, Detection, Face, Instance
from serve_app.analysis import EncodedImage, Failure, ImageAnalysis
from serve_app.limits import Limits
from serve_app.people import Person
from serve_app.pipeline import Pipeline
from serve_app.protocols.detections import AnswerTooLarge
from serve_app.protocols.open_inference.inference import (
    InferenceError,
    InferRequest,
    OpenInference,
    Parameter,
    options_of,
    wanted_outputs,
)
from serve_app.protocols.open_inference.tensors import (
    NUMPY,
    Tensor,
    check_images,
    images_from_raw,
    images_from_values,
    output_specs,
    output_tensors,
)
from serve_app.protocols.served_models import ServedModel, served_models
from tests.serve_app.conftest import LIMITS, MODELS, FakeBranch

THREE = served_models(TASKS)
OBJECT_COLUMNS = ["boxes", "labels", "label_ids", "scores", "image_index"]
OBJECT_OUTPUTS = {
    "object_detection": OBJECT_COLUMNS,
    "analyze": [f"object_detection.{name}" for name in OBJECT_COLUMNS],
}
LABELS: dict[Task, tuple[str, ...]] = {
    "mask_detection": ("NO MASK", "MASK"),
    "instance_segmentation": ("person", "chair", "traffic light"),
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


def outputs(model: str, images: list[ImageAnalysis], *names: str) -> dict[str, Tensor]:
    return {
        tensor.name: tensor
        for tensor in output_tensors(MODELS[model], images, names or list(output_specs(MODELS[model])))
    }


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


def test_raw_is_little_endian_and_bytes_follow_their_lengths() -> None:
    assert Tensor("x", "INT64", (2,), np.array([1, 256], "<i8")).raw() == bytes([1, *[0] * 7, 0, 1, *[0] * 6])
    assert Tensor("x", "BYTES", (2,), [b"ab", b""]).raw() == b"\2\0\0\0ab\0\0\0\0"


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=8))
def test_bytes_come_back_from_raw_and_from_values(files: list[bytes]) -> None:
    raw = Tensor("images", "BYTES", (len(files),), files).raw()
    expected = [EncodedImage(data) for data in files]
    assert images_from_raw("BYTES", [len(files)], memoryview(raw)) == expected
    assert images_from_values("BYTES", [len(files), 1], files) == expected


@given(st.binary(max_size=64), st.integers(1, 5))
def test_bytes_of_any_content_are_read_exactly_or_refused(data: bytes, count: int) -> None:
    try:
        files = images_from_raw("BYTES", [count], memoryview(data))
    except ValueError:
        return
    elements = [image.data for image in files if isinstance(image, EncodedImage)]
    assert len(elements) == count
    assert Tensor("images", "BYTES", (count,), elements).raw() == data


def test_pixels_come_from_raw_and_from_values_row_by_row() -> None:
    pixels = np.arange(2 * 2 * 3 * 3, dtype=np.uint8).reshape(2, 2, 3, 3)
    for images in (
        images_from_raw("UINT8", pixels.shape, memoryview(pixels.tobytes())),
        images_from_values("UINT8", pixels.shape, pixels.reshape(-1).tolist()),
    ):
        assert np.array_equal(np.stack([np.asarray(image) for image in images]), pixels)


@pytest.mark.parametrize(
    ("datatype", "shape", "message"),
    [
        ("FP32", [1, 4, 4, 3], "the datatype must be BYTES"),
        ("", [1], "the datatype must be BYTES"),
        ("BYTES", [], "the shape of BYTES"),
        ("BYTES", [0], "the shape of BYTES"),
        ("BYTES", [-1], "the shape of BYTES"),
        ("BYTES", [2, 2], "the shape of BYTES"),
        ("BYTES", [1, 1, 1], "the shape of BYTES"),
        ("BYTES", [9], "more images than the limit of 8"),
        ("UINT8", [4, 4, 3], r"must be \[N, H, W, 3\]"),
        ("UINT8", [1, 4, 4, 4], r"must be \[N, H, W, 3\]"),
        ("UINT8", [1, 0, 4, 3], r"must be \[N, H, W, 3\]"),
        ("UINT8", [9, 4, 4, 3], "more images than the limit of 8"),
        ("UINT8", [1, 1001, 1000, 3], "more pixels an image"),
        ("UINT8", [1, 2**62, 2**62, 3], "more pixels an image"),
    ],
)
def test_inputs_that_are_not_images_within_the_limits_are_refused(
    datatype: str, shape: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_images(datatype, shape, LIMITS)


@pytest.mark.parametrize(
    ("model", "parameters", "message"),
    [
        ("analyze", {"confidence": 0.5}, "model analyze has no parameter 'confidence'; its parameters are face_thr"),
        ("mask_detection", {"score_threshold": 0.5}, "model mask_detection has no parameter 'score_threshold'"),
        ("analyze", {"face_threshold": 1.5}, "face_threshold must be a number from 0 to 1"),
        ("analyze", {"face_threshold": float("nan")}, "face_threshold must be a number"),
        ("analyze", {"score_threshold": float("inf")}, "score_threshold must be a number"),
        ("analyze", {"score_threshold": True}, "score_threshold must be a number"),
        ("analyze", {"score_threshold": "0.5"}, "score_threshold must be a number"),
        ("analyze", {"classes": "person,unicorn"}, "classes: 'unicorn' is not a label"),
        ("analyze", {"classes": ""}, "classes: '' is not a label"),
        ("analyze", {"classes": 1}, "classes must be a string of labels, separated by commas"),
        ("analyze", {"max_instances": 0}, "max_instances must be a whole number"),
        ("analyze", {"max_instances": 5.0}, "max_instances must be a whole number"),
        ("analyze", {"timeout": -1}, "timeout must be a whole number of microseconds"),
        ("analyze", {"timeout": True}, "timeout must be a whole number of microseconds"),
    ],
)
def test_wrong_parameters_are_refused_by_name(model: str, parameters: dict[str, Parameter], message: str) -> None:
    with pytest.raises(InferenceError, match=message) as refused:
        options_of(MODELS[model], parameters, LABELS)
    assert refused.value.code == "bad_request"


def test_parameters_become_options_and_triton_s_hints_have_no_effect() -> None:
    parameters: dict[str, Parameter] = {
        "face_threshold": 0.25,
        "score_threshold": 1,
        "classes": "chair, traffic light",
        "max_instances": 3,
        "timeout": 1_500_000,
        "priority": 1,
        "sequence_id": 7,
        "triton_enable_empty_final_response": True,
    }
    options = options_of(MODELS["analyze"], parameters, LABELS)
    assert options.mask_detection.face_threshold == 0.25
    assert options.instance_segmentation.score_threshold == 1.0
    assert options.instance_segmentation.classes == ("chair", "traffic light")
    assert options.instance_segmentation.max_instances == 3
    assert options.timeout_s == 1.5
    assert options_of(MODELS["analyze"], {"timeout": 0}, LABELS).timeout_s is None


def test_outputs_asked_for_must_be_known_and_distinct() -> None:
    assert wanted_outputs(MODELS["mask_detection"], ["scores", "boxes"]) == ["scores", "boxes"]
    assert set(output_specs(MODELS["analyze"])) - set(wanted_outputs(MODELS["analyze"], [])) == {
        "instance_segmentation.dense_masks"
    }
    with pytest.raises(InferenceError, match="unexpected output 'masks' for model mask_detection; its outputs are box"):
        wanted_outputs(MODELS["mask_detection"], ["masks"])
    with pytest.raises(InferenceError, match="more than once"):
        wanted_outputs(MODELS["mask_detection"], ["boxes", "boxes"])


def call(model: str, *files: bytes, outputs: tuple[str, ...] = ()) -> InferRequest:
    return InferRequest(model, [EncodedImage(data) for data in files], outputs, {}, "a-request")


@pytest.fixture
def service(pipeline: Pipeline, limits: Limits) -> OpenInference:
    return OpenInference(pipeline, limits)


async def test_of_several_images_one_that_fails_is_told_of_in_errors(service: OpenInference, photo: bytes) -> None:
    _, made = await service.infer(call("mask_detection", b"no picture", photo))
    tensors = {tensor.name: tensor for tensor in made}
    assert np.asarray(tensors["image_index"].values).tolist() == [1]
    told, nothing = tensors["errors"].values
    assert b"not a JPEG" in told
    assert nothing == b""


async def test_an_image_that_fails_fails_the_request_where_errors_are_not_sent(
    service: OpenInference, photo: bytes
) -> None:
    with pytest.raises(InferenceError, match=re.escape("image 2: the data is not a JPEG")) as refused:
        await service.infer(call("mask_detection", photo, b"no picture", outputs=("boxes",)))
    assert refused.value.code == "unsupported_format"


async def test_one_task_of_analyze_may_fail(service: OpenInference, faces: FakeBranch, photo: bytes) -> None:
    faces.fail("unavailable")
    version, made = await service.infer(call("analyze", photo))
    assert version == "1"
    tensors = {tensor.name: tensor for tensor in made}
    assert tensors["mask_detection.boxes"].shape == (0, 4)
    assert tensors["instance_segmentation.boxes"].shape == (2, 4)
    assert tensors["errors"].values == [b"mask_detection is unavailable"]
    with pytest.raises(InferenceError, match="mask_detection is unavailable"):
        await service.infer(call("mask_detection", photo))


async def test_the_worst_failure_stands_for_all(
    service: OpenInference, faces: FakeBranch, instances: FakeBranch, photo: bytes
) -> None:
    faces.fail("unavailable")
    instances.fail("deadline_exceeded")
    with pytest.raises(InferenceError, match="image 2: mask_detection is unavailable") as refused:
        await service.infer(call("analyze", b"", photo))
    assert refused.value.code == "unavailable"


async def test_statistics_count_images_requests_failures_and_times(service: OpenInference, photo: bytes) -> None:
    await service.infer(call("analyze", photo, photo))
    with pytest.raises(InferenceError):
        await service.infer(call("analyze", b""))
    statistics = service.statistics("analyze")["analyze"]
    assert (statistics.inference_count, statistics.execution_count) == (2, 1)
    assert (statistics.success.count, statistics.fail.count) == (1, 1)
    assert (statistics.queue.count, statistics.queue.ns) == (1, 1_250_000)
    assert (statistics.compute_infer.count, statistics.compute_infer.ns) == (1, 7_500_000)
    assert statistics.success.ns > 0
    assert statistics.last_inference > 1_500_000_000_000
    assert service.statistics()["mask_detection"].success.count == 0


async def test_unknown_models_and_versions_are_not_found(service: OpenInference) -> None:
    assert service.version("analyze") == service.version("analyze", "1") == "1"
    for model, version in (("resnet", ""), ("analyze", "2"), ("analyze", "one")):
        with pytest.raises(InferenceError) as refused:
            service.version(model, version)
        assert refused.value.code == "not_found"


async def test_a_model_is_ready_when_its_tasks_are(service: OpenInference, faces: FakeBranch) -> None:
    faces.alive = False
    assert service.ready("instance_segmentation")
    assert not service.ready("mask_detection")
    assert not service.ready()
    assert service.states() == {
        "mask_detection": "UNAVAILABLE",
        "instance_segmentation": "READY",
        "analyze": "UNAVAILABLE",
    }


async def test_the_third_model_is_served_where_it_is_configured(
    pipeline_of_three: Pipeline, limits: Limits, objects: FakeBranch, photo: bytes
) -> None:
    service = OpenInference(pipeline_of_three, limits)
    assert service.states() == dict.fromkeys([*TASKS, "analyze"], "READY")
    assert (service.version("object_detection"), service.version("analyze")) == ("3", "3")
    properties = service.properties("object_detection")
    assert properties["object_detection.labels"] == "cup,bottle"
    assert properties["parameters"] == "score_threshold,nms_iou,classes,max_objects,timeout"
    parameters: dict[str, Parameter] = {"nms_iou": 0.5, "classes": "cup, bottle", "max_objects": 2}
    request = InferRequest("object_detection", [EncodedImage(photo)], ("labels",), parameters, "a-request")
    version, (labels,) = await service.infer(request)
    assert version == "3"
    assert labels.values == [b"bottle", b"cup"]
    assert objects.calls[0].options == ObjectDetectionOptions(None, 0.5, ("cup", "bottle"), 2)
    among: dict[str, Parameter] = {f"object_detection.{name}": value for name, value in parameters.items()}
    await service.infer(InferRequest("analyze", [EncodedImage(photo)], (), among, "a-request"))
    assert objects.calls[1].options == objects.calls[0].options
