"""The Ingress deployment: every HTTP route and gRPC method, on CPU replicas that load no torch."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc  # type: ignore[import-untyped]
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments import tracing
from deployments.models.card import Task, card_path, read_card
from serve_app.api_keys import ApiKeys, Holder, TooManyRequests
from serve_app.branch import ServeBranch
from serve_app.exposure import refuse_to_be_open, serving_host
from serve_app.grpc.call import CallRefused, GrpcContext, metadata_of, refusals, seen_call
from serve_app.grpc.health import Health
from serve_app.http.app import Routes, create_app
from serve_app.metrics import ServeMetrics
from serve_app.pipeline import Pipeline
from serve_app.protocols.kserve import routes as kserve
from serve_app.protocols.native import routes as native
from serve_app.protocols.open_inference import routes as open_inference
from serve_app.protocols.open_inference.service import OpenInferenceService
from serve_app.protocols.paddlehub import routes as paddlehub
from serve_app.protocols.roboflow import routes as roboflow
from serve_app.protocols.tf_serving.service import ModelService, PredictionService
from serve_app.refusals import write_refusal
from serve_app.seen import watched
from serve_app.settings import Dialect, Settings

GRPC_SERVICES = (
    "inference.GRPCInferenceService",
    "tensorflow.serving.PredictionService",
    "tensorflow.serving.ModelService",
)
HTTP_PROTOCOLS: Mapping[Dialect, Routes] = {
    "native": native.routes,
    "paddlehub": paddlehub.routes,
    "kserve": kserve.routes,
    "open_inference": open_inference.routes,
    "roboflow": roboflow.routes,
}
"""Those of the dialects that have HTTP routes."""


class Nothing:
    """The answer of a call that was refused: gRPC sends none beside a code other than OK."""

    def SerializeToString(self) -> bytes:
        """No bytes."""
        return b""


@contextmanager
def counted(holder: Holder) -> Iterator[None]:
    """One call of a key's holder. Raises CallRefused for one too many."""
    with ExitStack() as stack:
        try:
            stack.enter_context(holder.request())
        except TooManyRequests as error:
            raise CallRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error), error.retry_after_s) from None
        yield


def delegated(
    dialect: Dialect, service: str, method: str, *, is_open: bool = False, has_images: bool = False
) -> Callable[..., Awaitable[Any]]:
    """A gRPC method of the deployment, by whose name Serve dispatches, that a service object of it answers.

    An open one needs no key. One that brings images is refused before it is parsed where no answer could come in time.
    """

    async def call(self: Any, request: bytes, grpc_context: GrpcContext) -> Any:
        with watched(seen_call(method, grpc_context), self.metrics.report) as call_seen, ExitStack() as stack:
            try:
                with refusals(grpc_context):
                    holder = self.check_call(dialect, grpc_context, is_open)
                    if holder is not None:
                        stack.enter_context(counted(holder))
                    if has_images:
                        self.pipeline.check_room(time.time())
                answer = await getattr(getattr(self, service), method)(request, grpc_context)
                call_seen.status = "OK"
                return answer
            except CallRefused as refusal:
                # What is raised would be logged with its traceback, and its trailing metadata would be lost.
                call_seen.status = refusal.code.name
                call_seen.refusal = refusal.code.name.lower()
                return Nothing()

    return call


# Serve's own queue in front of a replica refuses in plain text and lets probes wait behind photos, so it must never
# fill: the gate and the pipeline's admission refuse before. A replica that died is noticed by its next check.
@serve.deployment(max_ongoing_requests=100_000, max_queued_requests=-1, health_check_period_s=1)
@serve.ingress()
class Ingress:
    """Decodes, fans out to the models, combines."""

    def __init__(self, settings: dict[str, Any], **handles: DeploymentHandle[Any]) -> None:
        self.settings = Settings.model_validate(settings)
        branches: dict[Task, ServeBranch] = {
            task: ServeBranch(handles[task], read_card(card_path(card)), self.settings.timeout_s)
            for task, card in self.settings.cards().items()
        }
        self.pipeline = Pipeline(
            branches,
            max_pixels=self.settings.max_pixels,
            timeout_s=self.settings.timeout_s,
            decode_threads=self.settings.decode_threads,
            capacity=self.settings.capacity,
        )
        self.limits = self.settings.limits
        self.api_keys = ApiKeys.from_settings(self.settings.api_keys_env, self.settings.api_keys_file)
        refuse_to_be_open(serving_host(), bool(self.api_keys), self.settings.public)
        self.open_inference = OpenInferenceService(self.pipeline, self.limits)
        self.prediction_service = PredictionService(self.pipeline, self.limits)
        self.model_service = ModelService(self.pipeline)
        self.health = Health(self.pipeline, GRPC_SERVICES)
        tracing.start()
        self.metrics = ServeMetrics(self.pipeline)
        self._telling = asyncio.create_task(self.metrics.keep_telling())

    def __serve_build_asgi_app__(self) -> Any:
        protocols = [HTTP_PROTOCOLS[dialect] for dialect in self.settings.dialects if dialect in HTTP_PROTOCOLS]
        return create_app(
            self.pipeline,
            self.limits,
            protocols,
            self.api_keys,
            self.settings.cors_origins,
            write_refusal,
            self.metrics.report,
        )

    def check_call(self, dialect: Dialect, grpc_context: GrpcContext, is_open: bool) -> Holder | None:
        """Who calls, where keys are asked for.

        Raises CallRefused for a dialect that is switched off, and for a call that needs a key and has none.
        """
        if dialect not in self.settings.dialects:
            raise CallRefused(grpc.StatusCode.UNIMPLEMENTED, f"{dialect} is switched off in the settings")
        if is_open or not self.api_keys:
            return None
        holder = self.api_keys.holder(metadata_of(grpc_context))
        if holder is None:
            raise CallRefused(grpc.StatusCode.UNAUTHENTICATED, "a valid API key is needed in x-api-key")
        return holder

    async def Check(self, request: bytes, grpc_context: GrpcContext) -> Any:
        """Of ``grpc.health.v1.Health``."""
        try:
            with refusals(grpc_context):
                return self.health.check(request)
        except CallRefused:
            return Nothing()

    async def Watch(self, request: bytes, grpc_context: GrpcContext) -> AsyncIterator[Any]:
        """Of ``grpc.health.v1.Health``."""
        with refusals(grpc_context):
            async for status in self.health.watch(request):
                yield status

    ServerLive = delegated("open_inference", "open_inference", "ServerLive", is_open=True)
    ServerReady = delegated("open_inference", "open_inference", "ServerReady", is_open=True)
    ModelReady = delegated("open_inference", "open_inference", "ModelReady")
    ServerMetadata = delegated("open_inference", "open_inference", "ServerMetadata")
    ModelMetadata = delegated("open_inference", "open_inference", "ModelMetadata")
    ModelInfer = delegated("open_inference", "open_inference", "ModelInfer", has_images=True)
    ModelConfig = delegated("open_inference", "open_inference", "ModelConfig")
    ModelStatistics = delegated("open_inference", "open_inference", "ModelStatistics")
    RepositoryIndex = delegated("open_inference", "open_inference", "RepositoryIndex")
    Predict = delegated("tf_serving", "prediction_service", "Predict", has_images=True)
    GetModelMetadata = delegated("tf_serving", "prediction_service", "GetModelMetadata")
    GetModelStatus = delegated("tf_serving", "model_service", "GetModelStatus")
