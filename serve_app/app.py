"""The whole graph: one ingress, two models."""

from typing import cast

from ray.serve import Application, Deployment

from deployments.instance_segmentation import InstanceSegmentation
from deployments.mask_detection import MaskDetection
from deployments.models.card import TASKS, card_path, read_card
from serve_app.ingress import Ingress
from serve_app.settings import Settings


def build(settings: Settings) -> Application:
    """Bind the graph; Serve checks ``settings`` against its type. Raises ValueError for a model card that is wrong."""
    for task in TASKS:
        read_card(card_path(getattr(settings, task)))
    mask_detection = deployment(MaskDetection).bind(settings.mask_detection, settings.device, settings.threads)
    instance_segmentation = deployment(InstanceSegmentation).bind(
        settings.instance_segmentation, settings.device, settings.threads
    )
    return deployment(Ingress).bind(
        settings.model_dump(), mask_detection=mask_detection, instance_segmentation=instance_segmentation
    )


def deployment(decorated: type) -> Deployment:
    """What ``@serve.deployment`` made of a class, which type checkers still take for the class."""
    return cast(Deployment, decorated)
