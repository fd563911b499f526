"""The whole graph: one ingress, and a model for each task that the settings name a card for."""

from typing import cast

from ray.serve import Application, Deployment

from deployments.instance_segmentation import InstanceSegmentation
from deployments.mask_detection import MaskDetection
from deployments.models.card import Task, card_path, read_card
from deployments.object_detection import ObjectDetection
from serve_app.ingress import Ingress
from serve_app.settings import Settings

MODELS: dict[Task, type] = {
    "mask_detection": MaskDetection,
    "instance_segmentation": InstanceSegmentation,
    "object_detection": ObjectDetection,
}
TO_WRITE_S = 5.0
"""Seconds beyond a request's deadline in which its answer may still be written."""


def build(settings: Settings) -> Application:
    """Bind the graph; Serve checks ``settings`` against its type. Raises ValueError for a model card that is wrong."""
    cards = settings.cards()
    for card in cards.values():
        read_card(card_path(card))
    models = {
        task: deployment(MODELS[task], settings).bind(
            card, settings.device, settings.threads, settings.precision, settings.engine
        )
        for task, card in cards.items()
    }
    return deployment(Ingress, settings).bind(settings.model_dump(), **models)


def deployment(decorated: type, settings: Settings) -> Deployment:
    """What ``@serve.deployment`` made of a class, which type checkers still take for the class.

    A replica that stops may finish what a request's deadline allows, unless the config's ``deployments`` say otherwise.
    """
    return cast(Deployment, decorated).options(graceful_shutdown_timeout_s=settings.timeout_s + TO_WRITE_S)
