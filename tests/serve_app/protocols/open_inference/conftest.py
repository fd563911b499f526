from collections.abc import AsyncIterator

import grpc
import pytest
from fastapi import FastAPI

from serve_app.http.app import create_app
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.native import routes as native
from serve_app.protocols.open_inference import routes as open_inference
from serve_app.protocols.open_inference.protos import open_inference_pb2 as pb
from serve_app.protocols.open_inference.registration import add_open_inference_to_server
from serve_app.protocols.open_inference.service import OpenInferenceService
from tests.serve_app.protocols.open_inference.messages import METHOD, Refused
from tests.serve_app.protocols.tf_serving.conftest import ContextServicer


@pytest.fixture
def app(pipeline: Pipeline, limits: Limits) -> FastAPI:
    made = create_app(pipeline, limits, [native.routes], frozenset())
    made.include_router(open_inference.routes(pipeline, limits))
    return made


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
async def channel(address: str) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(address) as made:
        yield made


@pytest.fixture
def refusal(channel: grpc.aio.Channel) -> Refused:
    """A function that sends a ModelInfer request and gives the code and details of its refusal."""

    async def send(request: bytes | pb.ModelInferRequest) -> tuple[grpc.StatusCode, str]:
        data = request if isinstance(request, bytes) else request.SerializeToString()
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await channel.unary_unary(METHOD)(data)
        return raised.value.code(), raised.value.details() or ""

    return send
