"""The Ingress deployment: every HTTP route, on CPU replicas that load no torch."""

import os
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.models.card import Task, card_path, read_card
from serve_app.branch import ServeBranch
from serve_app.http.app import create_app
from serve_app.http.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.settings import Settings


@serve.deployment(max_ongoing_requests=64, max_queued_requests=256)
@serve.ingress()
class Ingress:
    """Decodes, fans out to the models, combines."""

    def __init__(self, settings: dict[str, Any], **handles: DeploymentHandle[Any]) -> None:
        self.settings = Settings.model_validate(settings)
        self.branches: dict[Task, ServeBranch] = {
            task: ServeBranch(handles[task], read_card(card_path(getattr(self.settings, task))))  # type: ignore[misc]
            for task in handles
        }

    def __serve_build_asgi_app__(self) -> Any:
        settings = self.settings
        pipeline = Pipeline(
            self.branches,
            max_pixels=settings.max_pixels,
            timeout_s=settings.timeout_s,
            decode_threads=settings.decode_threads,
            images_in_flight=settings.images_in_flight,
        )
        limits = Limits(settings.max_body_bytes, settings.max_images, settings.max_pixels)
        keys = os.environ.get(settings.api_keys_env, "") if settings.api_keys_env else ""
        return create_app(
            pipeline, limits, settings.dialects, frozenset(key.strip() for key in keys.split(",") if key.strip())
        )
