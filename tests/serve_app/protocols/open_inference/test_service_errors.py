"""What the Open Inference Protocol's gRPC service refuses, and how."""

from typing import Any
from unittest.mock import Mock

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve_app.grpc.call import CallRefused
from serve_app.protocols.open_inference.protos import open_inference_pb2 as pb
from serve_app.protocols.open_inference.protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from serve_app.protocols.open_inference.service import OpenInferenceService
from tests.serve_app.conftest import LIMITS, MODELS, FakeBranch
from tests.serve_app.protocols.open_inference.messages import Refused, infer_request

BOOL = {"bool_param": True}
MALFORMED: dict[str, tuple[dict[str, Any], str]] = {
    "no inputs": ({"inputs": []}, "expected 1 input but got 0"),
    "two inputs": ({"inputs": [{"name": "images"}, {"name": "images"}]}, "expected 1 input but got 2"),
    "input of another name": ({"name": "image"}, "unexpected input 'image' for model analyze; its input is images"),
    "input without a name": ({"name": ""}, "unexpected input ''"),
    "no datatype": ({"datatype": ""}, "the datatype must be BYTES"),
    "unknown datatype": ({"datatype": "IMAGE"}, "the datatype must be BYTES"),
    "long datatype": ({"datatype": "X" * 100_000}, "the datatype must be BYTES"),
    "float pixels": ({"datatype": "FP32", "shape": [1, 4, 4, 3]}, "the datatype must be BYTES"),
    "no shape": ({"shape": []}, "the shape of BYTES must be [N] or [N, 1], not []"),
    "negative shape": ({"shape": [-1]}, "the shape of BYTES"),
    "shape of high rank": ({"shape": [1] * 1000}, "the shape of BYTES"),
    "shape of more files than data": ({"shape": [3]}, "needs 3 elements; there are 1"),
    "too many files": ({"shape": [9]}, "more images than the limit of 8"),
    "huge pixels": ({"datatype": "UINT8", "shape": [1, 2**62, 2**62, 3]}, "more pixels an image"),
    "pixels of no images": ({"datatype": "UINT8", "shape": [0, 4, 4, 3]}, "must be [N, H, W, 3]"),
    "pixels as files": ({"datatype": "UINT8", "shape": [1, 2, 2, 3]}, "raw_input_contents, or in uint_contents"),
    "pixels that do not fill": (
        {"datatype": "UINT8", "shape": [1, 2, 2, 3], "contents": {"uint_contents": [0] * 11}},
        "needs 12 elements; there are 11",
    ),
    "pixels out of range": (
        {"datatype": "UINT8", "shape": [1, 1, 1, 3], "contents": {"uint_contents": [0, 0, 256]}},
        "must be from 0 to 255",
    ),
    "pixels as signed numbers": (
        {"datatype": "UINT8", "shape": [1, 1, 1, 3], "contents": {"int_contents": [0, 0, -1]}},
        "must come in raw_input_contents, or in uint_contents of contents alone",
    ),
    "no data": ({"contents": {}}, "must come in raw_input_contents, or in bytes_contents"),
    "data of two kinds": ({"contents": {"bytes_contents": [b"a"], "int_contents": [1]}}, "of contents alone"),
    "data and raw data": ({"raw_input_contents": [b"\0\0\0\0"]}, "and then no contents"),
    "raw data of two": ({"contents": {}, "raw_input_contents": [b"", b""]}, "one entry of raw_input_contents"),
    "raw data without lengths": ({"contents": {}, "raw_input_contents": [b"ab"]}, "element 1 of 1"),
    "raw data of a lying length": ({"contents": {}, "raw_input_contents": [b"\xff\xff\xff\xffab"]}, "4294967295 byt"),
    "raw data too long": ({"contents": {}, "raw_input_contents": [b"\1\0\0\0ab"]}, "1 bytes follow"),
    "raw pixels too short": (
        {"datatype": "UINT8", "shape": [1, 2, 2, 3], "contents": {}, "raw_input_contents": [b"\0" * 11]},
        "needs 12 bytes; there are 11",
    ),
    "empty file": ({"contents": {"bytes_contents": [b""]}}, "the picture is empty"),
    "no picture": ({"contents": {"bytes_contents": [b"/etc/passwd"]}}, "not a JPEG"),
    "unknown input parameter": (
        {"tensor_parameters": {"shared_memory_region": BOOL}},
        "'shared_memory_region' of inpu",
    ),
    "unknown output parameter": ({"outputs": [{"name": "errors", "parameters": {"classification": BOOL}}]}, "not supp"),
    "unknown output": ({"outputs": [{"name": "boxes"}]}, "unexpected output 'boxes' for model analyze; its outputs"),
    "output twice": ({"outputs": [{"name": "errors"}] * 2}, "more than once"),
    "parameter without a value": ({"parameters": {"face_threshold": {}}}, "'face_threshold' has no value"),
    "unknown parameter": ({"parameters": {"treshold": BOOL}}, "has no parameter 'treshold'; its parameters are"),
    "threshold above 1": ({"parameters": {"face_threshold": {"double_param": 1.5}}}, "number from 0 to 1"),
    "threshold is NaN": ({"parameters": {"face_threshold": {"double_param": float("nan")}}}, "number from 0 to 1"),
    "threshold is infinite": ({"parameters": {"score_threshold": {"double_param": float("-inf")}}}, "number from 0"),
    "threshold is a string": ({"parameters": {"score_threshold": {"string_param": "0.5"}}}, "number from 0 to 1"),
    "threshold is a bool": ({"parameters": {"score_threshold": BOOL}}, "number from 0 to 1"),
    "unknown class": ({"parameters": {"classes": {"string_param": "unicorn"}}}, "'unicorn' is not a label"),
    "too many instances": ({"parameters": {"max_instances": {"uint64_param": 2**64 - 1}}}, "must be a whole number"),
    "negative timeout": ({"parameters": {"timeout": {"int64_param": -1}}}, "timeout must be a whole number"),
}


@pytest.mark.parametrize("case", MALFORMED)
async def test_malformed_requests(refusal: Refused, photo: bytes, faces: FakeBranch, case: str) -> None:
    changes, message = MALFORMED[case]
    code, details = await refusal(infer_request(photo, **changes))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert message in details
    assert faces.calls == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_name": ""}, "unknown model ''; models: mask_detection"),
        ({"model_name": "x" * 100_000}, "unknown model 'xxx"),
        ({"model_version": "2"}, "no version '2'; its version is 1"),
        ({"model_version": "latest"}, "no version 'latest'"),
    ],
)
async def test_unknown_models(refusal: Refused, photo: bytes, changes: dict[str, str], message: str) -> None:
    code, details = await refusal(infer_request(photo, **changes))
    assert code == grpc.StatusCode.NOT_FOUND
    assert message in details
    assert len(details) < 1000


@pytest.mark.parametrize("method", ["ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics"])
async def test_unknown_models_of_other_methods(channel: grpc.aio.Channel, method: str) -> None:
    request = {
        "ModelReady": pb.ModelReadyRequest,
        "ModelMetadata": pb.ModelMetadataRequest,
        "ModelConfig": pb.ModelConfigRequest,
        "ModelStatistics": pb.ModelStatisticsRequest,
    }[method](name="resnet")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await getattr(GRPCInferenceServiceStub(channel), method)(request)
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND
    assert "unknown model 'resnet'" in (raised.value.details() or "")


async def test_bytes_that_are_no_request(refusal: Refused) -> None:
    for data in (b"\xff", b"\x0a\x05ab", b"\x0a\x02\xff\xfe", b"\x0b"):
        code, details = await refusal(data)
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert details.startswith("the request ")


async def test_requests_over_the_limit_are_refused_unparsed(refusal: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_app.grpc.wire.parse", Mock(side_effect=AssertionError))
    code, details = await refusal(bytes(LIMITS.max_body_bytes + 1))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert details == f"the request is larger than the limit of {LIMITS.max_body_bytes} bytes"


async def test_a_request_of_endless_empty_inputs_is_refused(refusal: Refused) -> None:
    code, details = await refusal(b"\x2a\x00" * (LIMITS.max_body_bytes // 2))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "too many fields" in details


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        ("overloaded", grpc.StatusCode.RESOURCE_EXHAUSTED),
        ("unavailable", grpc.StatusCode.UNAVAILABLE),
        ("deadline_exceeded", grpc.StatusCode.DEADLINE_EXCEEDED),
        ("internal", grpc.StatusCode.INTERNAL),
    ],
)
async def test_failures_have_their_code(
    refusal: Refused, photo: bytes, faces: FakeBranch, failure: str, code: grpc.StatusCode
) -> None:
    faces.fail(failure)
    request = infer_request(photo, model_name="mask_detection")
    assert await refusal(request) == (code, f"mask_detection is {failure}")


async def test_a_fault_of_ours_tells_nothing_of_our_insides(refusal: Refused, photo: bytes, faces: FakeBranch) -> None:
    faces.error = RuntimeError("secret")
    assert await refusal(infer_request(photo)) == (grpc.StatusCode.INTERNAL, "the service failed on this request")


VALUES = st.binary(max_size=8)
TENSORS = st.builds(
    pb.ModelInferRequest.InferInputTensor,
    name=st.sampled_from(["images", ""]),
    datatype=st.sampled_from(["BYTES", "UINT8", "FP32", ""]),
    shape=st.lists(st.integers(-2, 4) | st.integers(-(2**63), 2**63 - 1), max_size=5),
    contents=st.builds(
        pb.InferTensorContents,
        bytes_contents=st.lists(VALUES, max_size=3),
        uint_contents=st.lists(st.integers(0, 300), max_size=12),
    ),
)
REQUESTS = st.builds(
    pb.ModelInferRequest,
    model_name=st.sampled_from([*MODELS, "resnet"]),
    parameters=st.dictionaries(
        st.sampled_from(["face_threshold", "timeout", "x"]), st.builds(pb.InferParameter, double_param=st.floats())
    ),
    inputs=st.lists(TENSORS, max_size=2),
    raw_input_contents=st.lists(VALUES, max_size=2),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request_=REQUESTS, cut=st.integers(0, 3))
async def test_no_request_makes_the_service_fail(
    service: OpenInferenceService, request_: pb.ModelInferRequest, cut: int
) -> None:
    data = request_.SerializeToString()
    context = Mock()
    context.invocation_metadata.return_value = ()
    with pytest.raises(CallRefused) as refused:
        await service.ModelInfer(data[: len(data) - cut], context)
    assert refused.value.code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
    context.set_code.assert_called_once_with(refused.value.code)
    context.set_details.assert_called_once_with(refused.value.details)
