"""Model cards: what a model is, how its input is made, and what it may be trusted with. Loads no torch."""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from deployments.imaging.spec import ImageSpec

Task = Literal["mask_detection", "instance_segmentation"]
TASKS: tuple[Task, ...] = ("mask_detection", "instance_segmentation")

EMBEDDED = Path(__file__).parent / "weights"
"""Where the embedded weights and their cards lie."""


class Strict(BaseModel):
    """Refuses keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class ModelCard(Strict):
    """One model, as its YAML file describes it."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    version: str = Field(pattern=r"^[0-9]+$")
    task: Task
    architecture: Literal["face_mask", "solov2"]
    network: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the architecture, checked by it."""
    weights: str
    """File name of the safetensors beside the card."""
    labels: tuple[str, ...]
    """Name of each label id, in order."""
    image: ImageSpec
    thresholds: dict[str, float] = Field(default_factory=dict)
    """Default thresholds, by the names of the native API."""
    description: str = ""
    training_data: list[str] = Field(default_factory=list)
    metrics: dict[str, float] = Field(default_factory=dict)
    """Measured accuracy on held-out pictures, by ``python -m training.evaluate``."""
    limits: list[str] = Field(default_factory=list)
    licence: str

    @property
    def identity(self) -> str:
        """Name and version, as answers state it: ``face_mask@1``."""
        return f"{self.name}@{self.version}"


def read_card(path: Path) -> ModelCard:
    """Read and check a card.

    Raises ValueError naming the file and the fields that are wrong, OSError where it cannot be read.
    """
    try:
        return ModelCard.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"model card {path.name}: {error}") from error


def card_path(reference: str) -> Path:
    """Where the card lies that a setting names: an embedded model's name, or the path of a YAML file.

    Raises ValueError if there is no such card.
    """
    path = Path(reference) if reference.endswith((".yaml", ".yml")) else EMBEDDED / f"{reference}.yaml"
    if not path.is_file():
        embedded = ", ".join(sorted(card.stem for card in EMBEDDED.glob("*.yaml")))
        raise ValueError(f"no model card {reference!r}; embedded models: {embedded}; otherwise give a .yaml file")
    return path
