"""The served graph around networks that do nothing: what is left is decoding, resizing, transport and answering.

``serve run benchmarks.noop_graph:build``; benchmarks/serving.py starts it and puts load on it.
"""

import time
from collections.abc import Sequence
from typing import Any

import torch
from ray import serve
from ray.serve import Application
from torch import nn

from deployments.batching.metrics import ServeBatchMetrics
from deployments.calls import Item
from deployments.models.card import ModelCard, Task, card_path, read_card
from deployments.replica import Replica
from deployments.results import Results
from serve_app.app import deployment
from serve_app.ingress import Ingress
from serve_app.settings import Settings


class NoOpModel:
    """Takes the pictures that another model's card asks for, and finds nothing in them, after so many seconds."""

    def __init__(self, card: ModelCard, seconds: float = 0.0) -> None:
        self.card = card
        self.seconds = seconds
        self.device = torch.device("cpu")
        self.lanes = 1

    @property
    def networks(self) -> Sequence[nn.Module]:
        return ()

    def padded_shape(self, item: Item) -> tuple[int, int]:
        height, width = item.image.shape[:2]
        return self.card.image.padded_size(height, width)

    def collate(self, items: list[Item]) -> int:
        return len(items)

    def run(self, batch: int) -> list[None]:
        if self.seconds:
            time.sleep(self.seconds)
        return [None] * batch

    def finish(self, item: Item, raw: None) -> Results:
        return ()


@serve.deployment(max_ongoing_requests=32, max_queued_requests=256, health_check_period_s=1)
class NoOp(Replica):
    """A model deployment with the replica's batcher and no network."""

    def __init__(self, card: str, task: Task, seconds: float) -> None:
        model = NoOpModel(read_card(card_path(card)), seconds)
        super().__init__(model, ServeBatchMetrics(task))  # type: ignore[arg-type]


def build(settings: Settings) -> Application:
    """As serve_app.app:build, under the same deployments' names."""
    return graph(settings)


def graph(settings: Settings, seconds: float = 0.0, **options: Any) -> Application:
    """The same with networks that take so many seconds a batch; ``options`` are those of every deployment."""
    names: dict[Task, str] = {
        "mask_detection": "MaskDetection",
        "instance_segmentation": "InstanceSegmentation",
        "object_detection": "ObjectDetection",
    }
    models = {
        task: deployment(NoOp, settings).options(name=names[task], **options).bind(card, task, seconds)
        for task, card in settings.cards().items()
    }
    return deployment(Ingress, settings).options(**options).bind(settings.model_dump(), **models)
