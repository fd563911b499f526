"""The Open Inference Protocol V2 over gRPC: by Triton's client, by our stubs, malformed, and as Ray registers it."""

import asyncio
import json
import pickle
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import grpc
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
from google.protobuf.descriptor import Descriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ray.serve._private.grpc_util import gRPCGenericServer
from tritonclient.grpc import InferInput, InferRequestedOutput, model_config_pb2, service_pb2
from tritonclient.utils import InferenceServerException

from deployments.imaging.decode import decode
from deployments.imaging.rle import decode_rle
from serve_app.grpc.call import CallRefused
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.open_inference.protos import open_inference_pb2 as pb
from serve_app.protocols.open_inference.protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from serve_app.protocols.open_inference.registration import add_open_inference_to_server
from serve_app.protocols.open_inference.service import OpenInferenceService
from serve_app.protocols.open_inference.tensors import output_specs
from tests.serve_app.conftest import HEIGHT, LIMITS, MODELS, WIDTH, FakeBranch, person_mask
from tests.serve_app.protocols.tf_serving.conftest import ContextServicer

ROOT = Path(__file__).parents[4]
METHOD = "/inference.GRPCInferenceService/ModelInfer"


@pytest.fixture
def service(pipeline: Pipeline, limits: Limits) -> OpenInferenceService:
    return OpenInferenceService(pipeline, limits)


@pytest.fixture
async def address(service: OpenInferenceService) -> AsyncIterator[str]:
    server = grpc.aio.server()
    add_open_inference_to_server(ContextServicer(service), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.fixture
async def triton(address: str) -> AsyncIterator[tritonclient.grpc.aio.InferenceServerClient]:
    async with tritonclient.grpc.aio.InferenceServerClient(address) as client:
        yield client


@pytest.fixture
async def channel(address: str) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(address) as made:
        yield made


Refused = Callable[[bytes | pb.ModelInferRequest], Any]


@pytest.fixture
def refusal(channel: grpc.aio.Channel) -> Refused:
    """A function that sends a ModelInfer request and gives the code and details of its refusal."""

    async def send(request: bytes | pb.ModelInferRequest) -> tuple[grpc.StatusCode, str]:
        data = request if isinstance(request, bytes) else request.SerializeToString()
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await channel.unary_unary(METHOD)(data)
        return raised.value.code(), raised.value.details() or ""

    return send


def files(*data: bytes) -> InferInput:
    tensor = InferInput("images", [len(data)], "BYTES")
    tensor.set_data_from_numpy(np.array([*data, None], object)[:-1])
    return tensor


def infer_request(photo: bytes, **changes: Any) -> pb.ModelInferRequest:
    """A request with the picture in ``contents``; ``changes`` override fields of the input, or of the request."""
    tensor = {"name": "images", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": [photo]}}
    request: dict[str, Any] = {"model_name": "analyze"}
    for key, value in changes.items():
        (tensor if key in ("name", "datatype", "shape", "contents", "tensor_parameters") else request)[key] = value
    if "tensor_parameters" in tensor:
        tensor["parameters"] = tensor.pop("tensor_parameters")
    return pb.ModelInferRequest(**{"inputs": [tensor], **request})


# --- Triton's client


async def test_triton_s_client_finds_server_and_models(triton: tritonclient.grpc.aio.InferenceServerClient) -> None:
    assert await triton.is_server_live()
    assert await triton.is_server_ready()
    server = await triton.get_server_metadata()
    assert (server.name, "statistics" in server.extensions) == ("maskgraph", True)
    for model in MODELS:
        assert await triton.is_model_ready(model, "1")
        metadata = await triton.get_model_metadata(model, as_json=True)
        assert metadata["inputs"] == [{"name": "images", "datatype": "BYTES", "shape": ["-1"]}]
        assert [output["name"] for output in metadata["outputs"]] == list(output_specs(MODELS[model]))
        config = (await triton.get_model_config(model)).config
        assert config.input[0].data_type == model_config_pb2.TYPE_STRING
        assert config.output[0].data_type == model_config_pb2.TYPE_FP32
        assert list(config.output[0].dims) == [-1, 4]
    index = await triton.get_model_repository_index()
    assert [(model.name, model.version, model.state) for model in index.models] == [(m, "1", "READY") for m in MODELS]


async def test_triton_s_client_sees_what_is_not_ready(
    triton: tritonclient.grpc.aio.InferenceServerClient, channel: grpc.aio.Channel, faces: FakeBranch
) -> None:
    faces.alive = False
    assert not await triton.is_server_ready()
    assert not await triton.is_model_ready("mask_detection")
    assert await triton.is_model_ready("instance_segmentation")
    ready = await GRPCInferenceServiceStub(channel).RepositoryIndex(pb.RepositoryIndexRequest(ready=True))
    assert [model.name for model in ready.models] == ["instance_segmentation"]


async def test_triton_s_client_gets_every_output(
    triton: tritonclient.grpc.aio.InferenceServerClient, photo: bytes
) -> None:
    result = await triton.infer("analyze", [files(photo)], request_id="mine")
    answer = result.get_response()
    assert (answer.model_name, answer.model_version, answer.id) == ("analyze", "1", "mine")
    assert result.as_numpy("mask_detection.labels").tolist() == [b"MASK"]
    assert result.as_numpy("mask_detection.boxes") == pytest.approx(np.array([[18.123456, 6, 30, 18]]))
    assert result.as_numpy("instance_segmentation.labels").tolist() == [b"chair", b"person"]
    assert np.array_equal(decode_rle(json.loads(result.as_numpy("instance_segmentation.masks")[1])), person_mask())
    assert result.as_numpy("people.faces").tolist() == [0]
    assert result.as_numpy("image_sizes").tolist() == [[HEIGHT, WIDTH]]


async def test_triton_s_blocking_client_gets_the_same(address: str, photo: bytes) -> None:
    def infer() -> Any:
        with tritonclient.grpc.InferenceServerClient(address) as client:
            outputs = [InferRequestedOutput("dense_masks"), InferRequestedOutput("image_index")]
            return client.infer("instance_segmentation", [files(photo, photo)], outputs=outputs)

    result = await asyncio.to_thread(infer)
    assert [output.name for output in result.get_response().outputs] == ["dense_masks", "image_index"]
    assert result.as_numpy("image_index").tolist() == [0, 0, 1, 1]
    assert np.array_equal(result.as_numpy("dense_masks")[3], person_mask())


async def test_triton_s_client_sends_pixels_and_options(
    triton: tritonclient.grpc.aio.InferenceServerClient, photo: bytes, faces: FakeBranch, instances: FakeBranch
) -> None:
    pixels = decode(photo, 10_000)[None, :20, :30]
    tensor = InferInput("images", pixels.shape, "UINT8")
    tensor.set_data_from_numpy(pixels)
    parameters = {"face_threshold": 0.25, "classes": "person", "max_instances": 2}
    result = await triton.infer("analyze", [tensor], parameters=parameters, timeout=2_000_000, priority=1)
    assert result.as_numpy("image_sizes").tolist() == [[20, 30]]
    assert np.array_equal(faces.images[0], pixels[0])
    assert faces.calls[0].options.face_threshold == 0.25  # type: ignore[union-attr]
    assert instances.calls[0].options.classes == ("person",)  # type: ignore[union-attr]
    assert instances.calls[0].options.max_instances == 2  # type: ignore[union-attr]


async def test_triton_s_client_reads_statistics(
    triton: tritonclient.grpc.aio.InferenceServerClient, photo: bytes
) -> None:
    await triton.infer("analyze", [files(photo, photo)])
    (one,) = (await triton.get_inference_statistics("analyze")).model_stats
    assert (one.inference_count, one.execution_count) == (2, 1)
    assert (one.inference_stats.queue.count, one.inference_stats.queue.ns) == (1, 1_250_000)
    assert len((await triton.get_inference_statistics()).model_stats) == len(MODELS)


async def test_triton_s_client_reads_errors(triton: tritonclient.grpc.aio.InferenceServerClient, photo: bytes) -> None:
    with pytest.raises(InferenceServerException, match="unknown model 'resnet'") as raised:
        await triton.infer("resnet", [files(photo)])
    assert raised.value.status() == "StatusCode.NOT_FOUND"
    with pytest.raises(InferenceServerException, match="not a JPEG") as raised:
        await triton.infer("analyze", [files(b"no picture")])
    assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"


# --- By our stubs


async def test_contents_in_give_contents_out(channel: grpc.aio.Channel, photo: bytes) -> None:
    response = await GRPCInferenceServiceStub(channel).ModelInfer(infer_request(photo, model_name="mask_detection"))
    assert not response.raw_output_contents
    made = {output.name: output for output in response.outputs}
    assert list(made["boxes"].shape) == [1, 4]
    assert list(made["boxes"].contents.fp32_contents) == pytest.approx([18.123456, 6, 30, 18])
    assert list(made["labels"].contents.bytes_contents) == [b"MASK"]
    assert list(made["image_index"].contents.int64_contents) == [0]


async def test_pixels_in_contents(channel: grpc.aio.Channel, faces: FakeBranch) -> None:
    pixels = list(range(2 * 2 * 3))
    request = infer_request(
        b"",
        model_name="mask_detection",
        datatype="UINT8",
        shape=[1, 2, 2, 3],
        contents={"uint_contents": pixels},
        tensor_parameters={"binary_data_size": {"int64_param": 12}},
    )
    await GRPCInferenceServiceStub(channel).ModelInfer(request)
    assert faces.images[0].reshape(-1).tolist() == pixels


async def test_trace_and_request_id_reach_the_models(
    channel: grpc.aio.Channel, photo: bytes, faces: FakeBranch
) -> None:
    trace = f"00-{'1' * 32}-{'2' * 16}-01"
    metadata = (("x-request-id", "r-1"), ("traceparent", trace), ("some-bin", b"\xff"))
    await GRPCInferenceServiceStub(channel).ModelInfer(infer_request(photo), metadata=metadata)
    assert (faces.calls[0].request_id, faces.calls[0].traceparent) == ("r-1", trace)


# --- Malformed


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


# --- Stubs and registration


def difference(ours: Descriptor, theirs: Descriptor) -> list[str]:
    """Fields of ours that theirs does not have as they are."""
    wrong = []
    for field in ours.fields:
        other = theirs.fields_by_name.get(field.name)
        same = other is not None and (field.number, field.type, field.is_repeated) == (
            other.number,
            other.type,
            other.is_repeated,
        )
        if not same:
            wrong.append(f"{ours.full_name}.{field.name}")
        elif field.message_type is not None:
            wrong += difference(field.message_type, other.message_type)
    return wrong


def test_our_messages_are_a_part_of_triton_s() -> None:
    theirs = {**service_pb2.DESCRIPTOR.message_types_by_name, **model_config_pb2.DESCRIPTOR.message_types_by_name}
    wrong = [
        one for name, ours in pb.DESCRIPTOR.message_types_by_name.items() for one in difference(ours, theirs[name])
    ]
    # KServe's, as the protocol's own text has it; Triton answers without.
    assert wrong == ["inference.ModelMetadataResponse.properties"]
    assert dict(pb.DataType.items()) == dict(model_config_pb2.DataType.items())


def test_our_methods_are_a_part_of_triton_s() -> None:
    ours = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    theirs = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert ours.full_name == theirs.full_name
    for method in ours.methods:
        other = theirs.methods_by_name[method.name]
        assert method.input_type.full_name == other.input_type.full_name
        assert method.output_type.full_name == other.output_type.full_name


@pytest.mark.parametrize(
    "first", ["serve_app.protocols.open_inference.protos.open_inference_pb2", "tritonclient.grpc.service_pb2"]
)
def test_our_stubs_and_triton_s_load_in_one_process_in_any_order(first: str) -> None:
    code = f"import {first}, serve_app.protocols.open_inference.service, tritonclient.grpc"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_refusal_survives_the_way_from_replica_to_proxy() -> None:
    refusal = pickle.loads(pickle.dumps(CallRefused(grpc.StatusCode.NOT_FOUND, "no such model")))
    assert (refusal.code, refusal.details) == (grpc.StatusCode.NOT_FOUND, "no such model")


async def test_ray_serve_s_server_routes_every_method_as_bytes(service: OpenInferenceService, photo: bytes) -> None:
    """Serve registers with a stand-in and puts its own function in the place of every method."""
    routed: list[str] = []

    def factory(service_method: str, streaming_type: object) -> Any:
        async def handle(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            assert isinstance(request, bytes)
            routed.append(service_method)
            answer = await getattr(service, service_method.split("/")[-1])(request, context)
            data: bytes = answer.SerializeToString()
            return data

        return handle

    server = gRPCGenericServer(factory)
    add_open_inference_to_server(Mock(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with tritonclient.grpc.aio.InferenceServerClient(f"127.0.0.1:{port}") as client:
            assert await client.is_server_live()
            result = await client.infer("mask_detection", [files(photo)])
    finally:
        await server.stop(None)
    assert result.as_numpy("labels").tolist() == [b"MASK"]
    assert routed == ["/inference.GRPCInferenceService/ServerLive", METHOD]
