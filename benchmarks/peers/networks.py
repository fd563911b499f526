"""Both networks in one process: what every peer, and the floor, put their serving around."""

from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.calls import Call, Item
from deployments.engines.precision import Precision
from deployments.imaging.decode import decode
from deployments.imaging.resize import prepare
from deployments.models.card import OPTIONS, Task
from deployments.models.load import load
from deployments.models.model import Model
from deployments.results import Results

Models = Mapping[Task, Model[Any, Any]]
CARDS: dict[Task, str] = {"mask_detection": "face_mask", "instance_segmentation": "solov2_people"}
MAX_PIXELS = 50_000_000


CARDS: dict[Task, str] = {"mask_detection": "face_mask", "instance_segmentation": "solov2_people"}


def eager(threads: int) -> Models:
    """The embedded models as plain torch modules on the CPU."""
    return {task: load(card, task, "cpu", threads, engine="eager") for task, card in CARDS.items()}


def same_engine(threads: int, precision: Precision) -> Models:
    """The embedded models as the service loads them for the CPU."""
    return {task: load(card, task, "cpu", threads, precision) for task, card in CARDS.items()}


def analyze(models: Models, photo: bytes, pool: Executor | None = None) -> dict[Task, Results]:
    """Decode, prepare, run and finish one photo, model after model, or each on a thread of ``pool``.

    Raises ImageError.
    """
    pixels = decode(photo, MAX_PIXELS)
    run = map if pool is None else pool.map
    return dict(zip(models, run(lambda model: answer(model, pixels), models.values()), strict=True))


def answer(model: Model[Any, Any], pixels: NDArray[np.uint8]) -> Results:
    """One model's results for upright RGB uint8 [H, W, 3], at the thresholds of its card."""
    height, width = pixels.shape[:2]
    call = Call(height, width, OPTIONS[model.card.task](), deadline=float("inf"), request_id="benchmark")
    item = Item(prepare(pixels, model.card.image), call)
    return model.finish(item, model.run(model.collate([item]))[0])
