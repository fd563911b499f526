"""Batchers that are closed, and devices that are let go, at a test's end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from deployments.batching.batcher import Batcher
from deployments.batching.budget import BatchBudget
from tests.deployments.batching.devices import PATIENCE_S, GatedDevice, MakeBatcher, Photo, shape_of


@pytest.fixture
async def make_batcher() -> AsyncIterator[MakeBatcher]:
    made: list[Batcher[Photo, Any, Any]] = []

    def make(
        run: Callable[[Any], Any], collate: Callable[[list[Photo]], Any] = list, **options: Any
    ) -> Batcher[Photo, Any, Any]:
        budget = options.pop("budget", BatchBudget(8, 10**9))
        made.append(Batcher(collate, run, shape_of, budget, **options))
        return made[-1]

    yield make
    for batcher in made:
        await asyncio.wait_for(batcher.close(), PATIENCE_S)


@pytest.fixture
async def device() -> AsyncIterator[GatedDevice]:
    device = GatedDevice()
    yield device
    device.release(100)
