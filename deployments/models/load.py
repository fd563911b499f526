"""From a card to a model on a device."""

import hashlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from deployments.engines.cores import usable_cores
from deployments.engines.equip import Example, equip
from deployments.engines.precision import Precision
from deployments.engines.settings import EngineName, EngineSettings
from deployments.imaging.spec import Fixed
from deployments.models.card import ModelCard, Task, card_path, read_card
from deployments.models.checkpoints.weights_cache import file_sha256, local_weights
from deployments.models.converted import converted_folder
from deployments.models.device import DeviceSetting, choose_device
from deployments.models.lean_torchvision import import_torchvision
from deployments.models.model import Model

ARCHITECTURES = {
    "face_mask": ("face_mask", "FaceMaskModel"),
    "solov2": ("solov2", "Solov2Model"),
    "torchvision": ("torchvision_models", "TorchvisionModel"),
    "onnx": ("onnx", "OnnxModel"),
}
"""Package and class: a replica imports that of its own model only."""


EXAMPLES = ((2, 64, 96), (3, 96, 160))
"""Pictures, height and width of two small inputs, by which an engine sees which axes of a network are free."""


def load(
    reference: str,
    task: Task,
    device: DeviceSetting,
    threads: int | None,
    precision: Precision = "float32",
    engine: EngineName = "auto",
) -> Model[Any, Any]:
    """Load the model that a setting names, its networks in their engine.

    threads: CPU threads of this model; None takes all cores that this process may use.
    Raises ValueError where the card is missing or wrong, is for another task, or does not fit its weights, and for a
    precision that the device lacks; OSError where the weights cannot be fetched.
    """
    path = card_path(reference)
    card = read_card(path)
    if card.task != task:
        raise ValueError(f"model card {card.name} is for {card.task}, not for {task}")
    settings = EngineSettings(precision, threads or usable_cores(), engine)
    torch.set_num_threads(settings.threads)
    chosen = choose_device(device)
    weights = local_weights(card, path.parent)
    model = _architecture(card.architecture)(card, weights, chosen)
    smaller, larger = (_examples(model, *size) for size in EXAMPLES)
    if not smaller and precision != "float32":
        raise ValueError(f"model card {card.name}: an ONNX file has its own precision; leave it float32")
    model.lanes = equip(smaller, larger, chosen, settings, converted_folder() / _identity(card, weights))
    return model


def _architecture(name: str) -> Callable[[ModelCard, Path, torch.device], Model[Any, Any]]:
    import_torchvision()
    package, constructor = ARCHITECTURES[name]
    made: Callable[[ModelCard, Path, torch.device], Model[Any, Any]] = getattr(
        import_module(f"deployments.models.{package}.model"), constructor
    )
    return made


@torch.no_grad()
def _examples(model: Model[Any, Any], count: int, height: int, width: int) -> list[Example]:
    """The model's networks with what they get for random pictures of this size, or of the one size that they take."""
    resize = model.card.image.resize
    if isinstance(resize, Fixed):
        height, width = model.card.image.padded_size(resize.height, resize.width)
    generator = torch.Generator().manual_seed(0)
    return model.examples(torch.randn(count, 3, height, width, generator=generator).to(model.device))


def _identity(card: ModelCard, weights: Path) -> str:
    """Of the model whose networks are converted."""
    return hashlib.sha256(f"{card.model_dump_json()} {file_sha256(weights)}".encode()).hexdigest()
