"""From a card to a model on a device."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from deployments.models.card import ModelCard, Task, card_path, read_card
from deployments.models.checkpoints.weights_cache import local_weights
from deployments.models.device import DeviceSetting, choose_device
from deployments.models.face_mask.model import FaceMaskModel
from deployments.models.model import Model
from deployments.models.onnx.model import OnnxModel
from deployments.models.precision import Precision, set_precision
from deployments.models.solov2.model import Solov2Model
from deployments.models.torchvision_models.model import TorchvisionModel

ARCHITECTURES: dict[str, Callable[[ModelCard, Path, torch.device], Model[Any, Any]]] = {
    "face_mask": FaceMaskModel,
    "solov2": Solov2Model,
    "torchvision": TorchvisionModel,
    "onnx": OnnxModel,
}


def load(
    reference: str, task: Task, device: DeviceSetting, threads: int | None, precision: Precision = "float32"
) -> Model[Any, Any]:
    """Load the model that a setting names.

    threads: CPU threads for torch; None shares this machine's cores between the graph's two models.
    Raises ValueError where the card is missing or wrong, is for another task, or does not fit its weights; OSError
    where they cannot be fetched.
    """
    torch.set_num_threads(threads or max(1, (os.cpu_count() or 1) // 2))
    path = card_path(reference)
    card = read_card(path)
    if card.task != task:
        raise ValueError(f"model card {card.name} is for {card.task}, not for {task}")
    chosen = choose_device(device)
    model = ARCHITECTURES[card.architecture](card, local_weights(card, path.parent), chosen)
    set_precision(model, precision, chosen)
    return model
