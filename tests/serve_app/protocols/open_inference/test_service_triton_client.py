"""The Open Inference Protocol over gRPC, by Triton's own client."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
from tritonclient.grpc import InferInput, InferRequestedOutput, model_config_pb2
from tritonclient.utils import InferenceServerException

from deployments.imaging.decode import decode
from deployments.imaging.rle import decode_rle
from serve_app.protocols.open_inference.protos import open_inference_pb2 as pb
from serve_app.protocols.open_inference.protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from serve_app.protocols.open_inference.tensors import output_specs
from tests.serve_app.conftest import HEIGHT, MODELS, WIDTH, FakeBranch, person_mask
from tests.serve_app.protocols.open_inference.messages import files


@pytest.fixture
async def triton(address: str) -> AsyncIterator[tritonclient.grpc.aio.InferenceServerClient]:
    async with tritonclient.grpc.aio.InferenceServerClient(address) as client:
        yield client


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
