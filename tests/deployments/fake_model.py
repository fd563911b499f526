"""A model that needs no network, and what asks a replica of it."""

import threading
import time

import numpy as np
import torch

from deployments.calls import (
    Answer,
    Call,
    Item,
    MaskDetectionOptions,
)
from deployments.engines.equip import Example
from deployments.engines.finite import NotFinite
from deployments.models.card import ModelCard, card_path, read_card
from deployments.replica import Replica
from deployments.results import Box, Face


class FakeModel:
    """Finds one face a picture, as large as the picture, scored by its first pixel."""

    lanes = 1
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.card: ModelCard = read_card(card_path("face_mask"))
        self.batches: list[int] = []
        self.error: Exception | None = None
        self.poisoned = False
        """Whether a picture whose first pixel is 1 raises NotFinite."""
        self.gate: threading.Event | None = None
        """Waited for in each run."""
        self.examples_of: list[tuple[int, ...]] = []

    def examples(self, images: torch.Tensor) -> list[Example]:
        self.examples_of.append(tuple(images.shape))
        return []

    def padded_shape(self, item: Item) -> tuple[int, int]:
        return item.image.shape[0], item.image.shape[1]

    def collate(self, items: list[Item]) -> list[Item]:
        return items

    def run(self, batch: list[Item]) -> list[float]:
        if self.gate is not None:
            assert self.gate.wait(20)
        if self.error is not None:
            raise type(self.error)(*self.error.args)
        if self.poisoned and any(item.image[0, 0, 0] == 1 for item in batch):
            raise NotFinite("the network gave NaN or infinity")
        self.batches.append(len(batch))
        return [float(item.image[0, 0, 0]) / 255 for item in batch]

    def finish(self, item: Item, raw: float) -> list[Face]:
        assert isinstance(item.call.options, MaskDetectionOptions)
        asked = item.call.options.face_threshold
        face = Face(Box(0, 0, item.call.width, item.call.height), raw, "MASK", 1.0)
        return [face] if raw >= (self.card.thresholds["face_threshold"] if asked is None else asked) else []


def model_of(replica: Replica) -> FakeModel:
    assert isinstance(replica.model, FakeModel)
    return replica.model


async def ask(replica: Replica, grey: int = 255, deadline_s: float = 10, threshold: float | None = None) -> Answer:
    call = Call(8, 8, MaskDetectionOptions(threshold), time.time() + deadline_s, "test")
    return await replica(np.full((8, 8, 3), grey, np.uint8), call)
