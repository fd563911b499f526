"""The HTTP application over branches that answer what a test sets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from numpy.typing import NDArray

from deployments.calls import Answer, Call
from deployments.imaging.masks import encode_rle
from deployments.models.card import ModelCard, Task, card_path, read_card
from deployments.results import Box, Detection, Face, Instance
from serve_app.admission import Capacity
from serve_app.analysis import Failure
from serve_app.http.app import create_app
from serve_app.limits import Limits
from serve_app.pipeline import BranchFailed, ModelReplaced, Pipeline
from serve_app.protocols.native import routes as native
from serve_app.protocols.served_models import served_models
from tests.photos import astronaut, png

HEIGHT, WIDTH = 48, 64
LIMITS = Limits(max_body_bytes=1_000_000, max_images=8, max_pixels=1_000_000)
MODELS = served_models(("mask_detection", "instance_segmentation"))
"""Of the service without a third branch."""


@dataclass
class FakeBranch:
    """A branch that answers ``results`` for every picture, or fails, or waits."""

    card: ModelCard
    results: list[Face] | list[Instance] | list[Detection] = field(default_factory=list)
    failure: Failure | None = None
    error: Exception | None = None
    """Raised as it is, which a branch must never do."""
    gate: asyncio.Event | None = None
    """Waited for before the answer."""
    alive: bool = True
    thresholds: dict[str, float] = field(default_factory=dict)
    running: list[ModelCard] = field(default_factory=list)
    """What its replicas run, a card a call; what is left counts as ``card``."""
    calls: list[Call] = field(default_factory=list)
    images: list[NDArray[np.uint8]] = field(default_factory=list)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: int = 0

    async def __call__(self, image: NDArray[np.uint8], call: Call) -> Answer:
        self.calls.append(call)
        self.images.append(image)
        self.entered.set()
        if self.running and call.card != (running := self.running.pop(0)).digest:
            self.card = running
            raise ModelReplaced
        try:
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failure is not None:
            raise BranchFailed(self.failure)
        if self.error is not None:
            raise self.error
        return Answer(self.results, queue_ms=1.25, run_ms=7.5, batch="fake-1")

    def ready(self) -> bool:
        return self.alive

    def fail(self, code: str) -> None:
        self.failure = Failure(code, f"{self.card.task} is {code}", self.card.task)


def person_mask() -> NDArray[np.bool_]:
    """A person in the picture of ``photo``, with a hole."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[4:44, 10:40] = True
    mask[30:34, 20:26] = False
    return mask


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A PNG of 64x48 pixels."""
    return png(np.ascontiguousarray(astronaut()[:HEIGHT, :WIDTH]))


@pytest.fixture
def faces() -> FakeBranch:
    """One masked face, which the person of ``instances`` holds."""
    face = Face(Box(18.123456, 6.0, 30.0, 18.0), 0.987654321, "MASK", 0.912345678)
    return FakeBranch(read_card(card_path("face_mask")), [face])


@pytest.fixture
def instances() -> FakeBranch:
    """A chair, then a person."""
    chair, person = np.zeros((HEIGHT, WIDTH), bool), person_mask()
    chair[40:48, 50:64] = True
    found = [
        Instance(56, "chair", 0.95, Box(50, 40, 64, 48), encode_rle(chair), int(chair.sum())),
        Instance(0, "person", 0.9, Box(10, 4, 40, 44), encode_rle(person), int(person.sum())),
    ]
    return FakeBranch(read_card(card_path("solov2_people")), found)


@pytest.fixture
def objects() -> FakeBranch:
    """A bottle, then a cup, of an operator's own labels."""
    own = {"name": "goods", "version": "3", "task": "object_detection", "labels": ("cup", "bottle")}
    card = read_card(card_path("solov2_people")).model_copy(update={**own, "thresholds": {"score_threshold": 0.5}})
    found = [Detection(1, "bottle", 0.876543, Box(8, 12, 24, 36)), Detection(0, "cup", 0.75, Box(-4.0, 30, 16.123, 48))]
    return FakeBranch(card, found)


@pytest.fixture
def limits() -> Limits:
    return LIMITS


@pytest.fixture
def make_pipeline(faces: FakeBranch, instances: FakeBranch) -> Callable[..., Pipeline]:
    """A function that builds the pipeline over the two fake branches, and a third; keywords override its settings."""

    def make(objects: FakeBranch | None = None, **settings: object) -> Pipeline:
        branches: dict[Task, FakeBranch] = {"mask_detection": faces, "instance_segmentation": instances}
        if objects is not None:
            branches["object_detection"] = objects
        defaults = {
            "max_pixels": LIMITS.max_pixels,
            "timeout_s": 30.0,
            "decode_threads": 1,
            "capacity": Capacity(),
        }
        return Pipeline(branches, **{**defaults, **settings})  # type: ignore[arg-type]

    return make


@pytest.fixture
def pipeline(make_pipeline: Callable[..., Pipeline]) -> Pipeline:
    return make_pipeline()


@pytest.fixture
def pipeline_of_three(make_pipeline: Callable[..., Pipeline], objects: FakeBranch) -> Pipeline:
    return make_pipeline(objects)


@pytest.fixture
def app(pipeline: Pipeline, limits: Limits) -> FastAPI:
    return create_app(pipeline, limits, [native.routes], frozenset())


def client_of(app: FastAPI) -> httpx.AsyncClient:
    """A client that calls the application in this process."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as made:
        yield made
