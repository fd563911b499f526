"""A model's answer for one picture, as a replica gives it."""

import statistics
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.calls import Call, Item, TaskOptions
from deployments.imaging.resize import prepare
from deployments.models.model import Model


def answer(model: Model[Any, Any], image: NDArray[np.uint8], options: TaskOptions) -> list[Any]:
    """Faces or instances in one upright picture, uint8 RGB [H, W, 3]."""
    height, width = image.shape[:2]
    call = Call(height, width, options, deadline=float("inf"), request_id="evaluation")
    item = Item(prepare(image, model.card.image), call)
    return list(model.finish(item, model.run(model.collate([item]))[0]))


def milliseconds(model: Model[Any, Any], images: Iterable[NDArray[np.uint8]], options: TaskOptions) -> float:
    """Median time to answer for a picture, decoding left out."""
    took = []
    for image in images:
        started = time.perf_counter()
        answer(model, image, options)
        took.append(time.perf_counter() - started)
    return 1000 * statistics.median(took)
