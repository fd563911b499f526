"""The gRPC services on loopback, served as Ray Serve does: a method raises, the context holds code and details."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest

from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.tf_serving.protos.tensorflow_serving_pb2_grpc import ModelServiceStub, PredictionServiceStub
from serve_app.protocols.tf_serving.registration import add_model_service_to_server, add_prediction_service_to_server
from serve_app.protocols.tf_serving.service import ModelService, PredictionService


class ContextServicer:
    """Ends calls that raise with what their context holds; grpc.aio alone would send the exception's text."""

    def __init__(self, service: object) -> None:
        self._service = service

    def __getattr__(self, name: str) -> Callable[[Any, Any], Awaitable[Any]]:
        method = getattr(self._service, name)

        async def call(request: Any, context: Any) -> Any:
            try:
                return await method(request, context)
            except Exception:
                await context.abort(context.code(), context.details(), context.trailing_metadata())

        return call


@pytest.fixture
async def tf_address(pipeline: Pipeline, limits: Limits) -> AsyncIterator[str]:
    """Where TensorFlow Serving's services answer."""
    server = grpc.aio.server()
    add_prediction_service_to_server(ContextServicer(PredictionService(pipeline, limits)), server)
    add_model_service_to_server(ContextServicer(ModelService(pipeline)), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.fixture
async def stub(tf_address: str) -> AsyncIterator[PredictionServiceStub]:
    async with grpc.aio.insecure_channel(tf_address) as channel:
        yield PredictionServiceStub(channel)


@pytest.fixture
async def models(tf_address: str) -> AsyncIterator[ModelServiceStub]:
    async with grpc.aio.insecure_channel(tf_address) as channel:
        yield ModelServiceStub(channel)
