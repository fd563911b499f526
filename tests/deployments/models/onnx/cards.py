"""Models of ONNX files with cards, and pictures for them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deployments.calls import Call, Item, TaskOptions
from deployments.imaging.spec import ImageSpec, MaxSide
from deployments.models.card import ModelCard
from deployments.models.onnx.model import OnnxModel

CPU = torch.device("cpu")
OUTPUTS = {"boxes": "boxes", "scores": "scores", "labels": "labels"}


def card(**changes: Any) -> ModelCard:
    masks = changes.get("task") == "instance_segmentation"
    fields: dict[str, Any] = {
        "name": "mine",
        "version": "1",
        "task": "object_detection",
        "architecture": "onnx",
        "network": {"input": "images", "outputs": OUTPUTS | ({"masks": "masks"} if masks else {})},
        "weights": "mine.onnx",
        "labels": ("left", "right"),
        "image": ImageSpec(
            color_order="rgb",
            resize=MaxSide(rule="max_side", long_side=64),
            interpolation="bilinear",
            pad_multiple=16,
            mean=(0, 0, 0),
            std=(1, 1, 1),
            scale=1 / 255,
        ),
        "thresholds": {"score_threshold": 0.3},
        "licence": "none",
    }
    return ModelCard.model_validate(fields | changes)


def load(file: Path, **changes: Any) -> OnnxModel:
    return OnnxModel(card(**changes), file, CPU)


def picture(height: int, width: int, *spots: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Black, but for pixels at (left, top) of a grey level: a Finder sees those whose sides are multiples of 8."""
    image = np.zeros((height, width, 3), np.uint8)
    for left, top, grey in spots:
        image[top, left] = grey
    return image


def item(image: NDArray[np.uint8], options: TaskOptions, scale: int = 1) -> Item:
    height, width = image.shape[:2]
    return Item(image, Call(height * scale, width * scale, options, deadline=float("inf"), request_id="test"))


def answers(model: OnnxModel, *items: Item) -> list[Any]:
    return [model.finish(one, raw) for one, raw in zip(items, model.run(model.collate(list(items))), strict=True)]


SPOTS = picture(48, 64, (8, 16, 255), (32, 8, 204), (40, 8, 153), (0, 40, 51))
