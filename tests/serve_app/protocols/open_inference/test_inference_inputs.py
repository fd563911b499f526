"""Inputs and parameters of the Open Inference Protocol."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.models.card import Task
from serve_app.analysis import EncodedImage
from serve_app.protocols.open_inference.inference import InferenceError, Parameter, options_of, wanted_outputs
from serve_app.protocols.open_inference.tensors import (
    Tensor,
    check_images,
    images_from_raw,
    images_from_values,
    output_specs,
)
from tests.serve_app.conftest import LIMITS, MODELS

LABELS: dict[Task, tuple[str, ...]] = {
    "mask_detection": ("NO MASK", "MASK"),
    "instance_segmentation": ("person", "chair", "traffic light"),
}


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
