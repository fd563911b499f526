"""A model's answer for one picture, as a replica gives it."""

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
