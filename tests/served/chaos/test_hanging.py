"""Replicas whose network hangs while the process lives: Serve replaces them."""

import os
import time

import numpy as np
import pytest
import torch
from ray import serve

from deployments.calls import Call, Item, MaskDetectionOptions
from deployments.models.card import card_path, read_card
from deployments.replica import Replica
from deployments.results import Box, Face
from serve_app.branch import ServeBranch
from serve_app.pipeline import BranchFailed

pytestmark = [pytest.mark.serve, pytest.mark.chaos]

HANGS, HARMLESS = 1, 2
"""First pixels of pictures, by what they do to a network."""


class HangingModel:
    """Finds one face, whose box starts at the number of the process that found it."""

    lanes = 1
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.card = read_card(card_path("face_mask"))

    def padded_shape(self, item: Item) -> tuple[int, int]:
        return 8, 8

    def collate(self, items: list[Item]) -> list[int]:
        return [int(item.image[0, 0, 0]) for item in items]

    def run(self, batch: list[int]) -> list[None]:
        if HANGS in batch:
            time.sleep(3600)
        return [None] * len(batch)

    def finish(self, item: Item, raw: None) -> list[Face]:
        return [Face(Box(os.getpid(), 0, 1, 1), 1.0, "MASK", 1.0)]


class Hanging(Replica):
    """Waits for a batch half a second, not a quarter of a minute."""

    def __init__(self) -> None:
        super().__init__(HangingModel())  # type: ignore[arg-type]
        self._batcher.call_limit_s = 0.5


async def process_that_answers(branch: ServeBranch, first_pixel: int = HARMLESS) -> float:
    call = Call(8, 8, MaskDetectionOptions(), deadline=time.time() + 240, request_id="hanging")
    answer = await branch(np.full((8, 8, 3), first_pixel, np.uint8), call)
    return answer.results[0].box.left


async def test_a_call_behind_a_network_that_hangs_is_answered_by_another_process(addresses: object) -> None:
    deployment = serve.deployment(ray_actor_options={"num_cpus": 0.1}, health_check_period_s=0.2)(Hanging)
    handle = serve.run(deployment.bind(), name="hanging", route_prefix=None)
    try:
        branch = ServeBranch(handle, read_card(card_path("face_mask")), timeout_s=240)
        sick = await process_that_answers(branch)
        with pytest.raises(BranchFailed) as failed:
            await process_that_answers(branch, HANGS)
        assert failed.value.failure.code == "internal"
        assert await process_that_answers(branch) != sick
    finally:
        serve.delete("hanging")
