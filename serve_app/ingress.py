"""The Ingress deployment: every HTTP route and gRPC method, on CPU replicas that load no torch."""

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc  # type: ignore[import-untyped]
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.models.card import Task, card_path, read_card
from serve_app.api_keys import carries_key
from serve_app.branch import ServeBranch
from serve_app.grpc.call import CallRefused, GrpcContext, metadata_of, refusals
from serve_app.http.app import Routes, create_app
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.kserve import routes as kserve
from serve_app.protocols.native import routes as native
from serve_app.protocols.open_inference import routes as open_inference
from serve_app.protocols.open_inference.service import OpenInferenceService
from serve_app.protocols.paddlehub import routes as paddlehub
from serve_app.protocols.roboflow import routes as roboflow
from serve_app.protocols.tf_serving.service import ModelService, PredictionService
from serve_app.settings import Dialect, Settings

HTTP_PROTOCOLS: Mapping[Dialect, Routes] = {
    "native": native.routes,
    "paddlehub": paddlehub.routes,
    "kserve": kserve.routes,
    "open_inference": open_inference.routes,
    "roboflow": roboflow.routes,
}
"""Those of the dialects that have HTTP routes."""


def delegated(dialect: Dialect, service: str, method: str) -> Callable[..., Awaitable[Any]]:
    """A gRPC method of the deployment, by whose name Serve dispatches, that a service object of it answers."""

    async def call(self: Any, request: Any, grpc_context: GrpcContext) -> Any:
        with refusals(grpc_context):
            if dialect not in self.settings.dialects:
                raise CallRefused(grpc.StatusCode.UNIMPLEMENTED, f"{dialect} is switched off in the settings")
            if self.api_keys and not carries_key(metadata_of(grpc_context), self.api_keys):
                raise CallRefused(grpc.StatusCode.UNAUTHENTICATED, "a valid API key is needed in x-api-key")
        return await getattr(getattr(self, service), method)(request, grpc_context)

    return call


@serve.deployment(max_ongoing_requests=64, max_queued_requests=256)
@serve.ingress()
class Ingress:
    """Decodes, fans out to the models, combines."""

    def __init__(self, settings: dict[str, Any], **handles: DeploymentHandle[Any]) -> None:
        self.settings = Settings.model_validate(settings)
        branches: dict[Task, ServeBranch] = {
            task: ServeBranch(handles[task], read_card(card_path(card))) for task, card in self.settings.cards().items()
        }
        self.pipeline = Pipeline(
            branches,
            max_pixels=self.settings.max_pixels,
            timeout_s=self.settings.timeout_s,
            decode_threads=self.settings.decode_threads,
            images_in_flight=self.settings.images_in_flight,
        )
        self.limits = Limits(self.settings.max_body_bytes, self.settings.max_images, self.settings.max_pixels)
        variable = self.settings.api_keys_env
        keys = os.environ.get(variable, "").split(",") if variable else []
        self.api_keys = frozenset(key.strip() for key in keys if key.strip())
        if variable and not self.api_keys:
            raise ValueError(f"api_keys_env names {variable}, which holds no key: the service would be open")
        self.open_inference = OpenInferenceService(self.pipeline, self.limits)
        self.prediction_service = PredictionService(self.pipeline, self.limits)
        self.model_service = ModelService(self.pipeline)

    def __serve_build_asgi_app__(self) -> Any:
        protocols = [HTTP_PROTOCOLS[dialect] for dialect in self.settings.dialects if dialect in HTTP_PROTOCOLS]
        return create_app(self.pipeline, self.limits, protocols, self.api_keys, self.settings.cors_origins)

    ServerLive = delegated("open_inference", "open_inference", "ServerLive")
    ServerReady = delegated("open_inference", "open_inference", "ServerReady")
    ModelReady = delegated("open_inference", "open_inference", "ModelReady")
    ServerMetadata = delegated("open_inference", "open_inference", "ServerMetadata")
    ModelMetadata = delegated("open_inference", "open_inference", "ModelMetadata")
    ModelInfer = delegated("open_inference", "open_inference", "ModelInfer")
    ModelConfig = delegated("open_inference", "open_inference", "ModelConfig")
    ModelStatistics = delegated("open_inference", "open_inference", "ModelStatistics")
    RepositoryIndex = delegated("open_inference", "open_inference", "RepositoryIndex")
    Predict = delegated("tf_serving", "prediction_service", "Predict")
    GetModelMetadata = delegated("tf_serving", "prediction_service", "GetModelMetadata")
    GetModelStatus = delegated("tf_serving", "model_service", "GetModelStatus")
