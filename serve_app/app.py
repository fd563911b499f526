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


def build(settings: Settings) -> Application:
    """Bind the graph; Serve checks ``settings`` against its type. Raises ValueError for a model card that is wrong."""
    cards = settings.cards()
    for card in cards.values():
        read_card(card_path(card))
    models = {
        task: deployment(MODELS[task]).bind(
            card, settings.device, settings.threads, settings.precision, settings.engine
        )
        for task, card in cards.items()
    }
    return deployment(Ingress).bind(settings.model_dump(), **models)


def deployment(decorated: type) -> Deployment:
    """What ``@serve.deployment`` made of a class, which type checkers still take for the class."""
    return cast(Deployment, decorated)
