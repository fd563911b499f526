"""The Open Inference Protocol V2 over gRPC: by Triton's client, by our stubs, malformed, and as Ray registers it."""

import pickle
from typing import Any
from unittest.mock import Mock

import grpc
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
from ray.serve._private.grpc_util import gRPCGenericServer

from serve_app.grpc.call import CallRefused
from serve_app.protocols.open_inference.protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from serve_app.protocols.open_inference.registration import add_open_inference_to_server
from serve_app.protocols.open_inference.service import OpenInferenceService
from tests.serve_app.conftest import FakeBranch
from tests.serve_app.protocols.open_inference.messages import METHOD, files, infer_request


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
