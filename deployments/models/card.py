"""Model cards: what a model is, how its input is made, and what it may be trusted with. Loads no torch."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from deployments.calls import (
    InstanceSegmentationOptions,
    MaskDetectionOptions,
    ObjectDetectionOptions,
    TaskOptions,
    threshold_names,
)
from deployments.imaging.spec import ImageSpec
from deployments.plain_yaml import MAX_BYTES, read_yaml
from deployments.results import FaceLabel

Task = Literal["mask_detection", "instance_segmentation", "object_detection"]
TASKS: tuple[Task, ...] = ("mask_detection", "instance_segmentation", "object_detection")
"""All that there are; a service has a branch for each that its settings name a card for."""
OPTIONS: dict[Task, type[TaskOptions]] = {
    "mask_detection": MaskDetectionOptions,
    "instance_segmentation": InstanceSegmentationOptions,
    "object_detection": ObjectDetectionOptions,
}
"""What a request may set of each."""

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
    architecture: Literal["face_mask", "solov2", "torchvision", "onnx"]
    network: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the architecture, checked by it."""
    weights: str = Field(min_length=1)
    """A path, from the card's folder where it is relative, or an https:// URL."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """Of the weights file, which is checked before each use; a URL's must be given."""
    labels: tuple[str, ...] = Field(min_length=1)
    """Name of each label id, in order."""
    image: ImageSpec
    thresholds: dict[str, float] = Field(default_factory=dict)
    """Default thresholds, by the names of the native API."""
    class_thresholds: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    """By label, where it differs from ``score_threshold``, which a request or a replica's settings may give for all."""
    description: str = ""
    training_data: list[str] = Field(default_factory=list)
    metrics: dict[str, float] = Field(default_factory=dict)
    """Measured accuracy on held-out pictures, by ``python -m training.evaluate``."""
    precision_recall: str | None = None
    """File name of a picture beside the card: the curves behind the metrics."""
    limits: list[str] = Field(default_factory=list)
    licence: str

    @field_validator("architecture", mode="before")
    @classmethod
    def _exported_programs_are_onnx_files_now(cls, architecture: object) -> object:
        if architecture == "exported":
            raise ValueError(
                "archives of torch.export.save are no longer run: write the module as an ONNX file instead, "
                "torch.onnx.export(module, (images,), 'model.onnx'), and state architecture: onnx (docs/onnx.md)"
            )
        return architecture

    @model_validator(mode="after")
    def _thresholds_are_the_tasks(self) -> Self:
        known = threshold_names(OPTIONS[self.task])
        for name in self.thresholds:
            if name not in known:
                raise ValueError(f"unknown threshold {name!r} for {self.task}; known: {', '.join(known)}")
        return self

    @model_validator(mode="after")
    def _class_thresholds_are_of_labels(self) -> Self:
        if self.class_thresholds and "score_threshold" not in threshold_names(OPTIONS[self.task]):
            raise ValueError(f"{self.task} has no thresholds a class")
        if unknown := set(self.class_thresholds) - set(self.labels):
            raise ValueError(f"class_thresholds names {min(unknown)!r}, which is none of the labels")
        return self

    @model_validator(mode="after")
    def _faces_have_the_served_labels(self) -> Self:
        if self.task == "mask_detection" and (unknown := set(self.labels) - set(get_args(FaceLabel))):
            raise ValueError(f"labels of mask_detection are MASK or NO MASK, not {min(unknown)!r}")
        return self

    @model_validator(mode="after")
    def _remote_weights_can_be_verified(self) -> Self:
        if self.weights_are_remote:
            if not self.weights.startswith("https://"):
                raise ValueError(f"weights are a path or an https:// URL, not {self.weights.split('://')[0]}://")
            if self.sha256 is None:
                raise ValueError("weights from a URL need the file's sha256: 64 hexadecimal digits, in lower case")
        return self

    @property
    def identity(self) -> str:
        """Name and version, as answers state it: ``face_mask@1``."""
        return f"{self.name}@{self.version}"

    @property
    def digest(self) -> str:
        """The same for cards with the same content."""
        return sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def weights_are_remote(self) -> bool:
        """Whether ``weights`` is a URL."""
        return "://" in self.weights


def read_card(path: Path) -> ModelCard:
    """Read and check a card.

    Raises ValueError naming the file and the fields that are wrong, OSError where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return ModelCard.model_validate(read_yaml(file.read(MAX_BYTES + 1)))
    except ValidationError as invalid:
        raise ValueError(f"model card {path.name}: {'; '.join(_wrong_fields(invalid))}") from invalid
    except ValueError as error:
        raise ValueError(f"model card {path.name}: {error}") from error


def _wrong_fields(invalid: ValidationError) -> Iterator[str]:
    for error in invalid.errors(include_url=False):
        field = ".".join(map(str, error["loc"]))
        message = "unknown key" if error["type"] == "extra_forbidden" else error["msg"].removeprefix("Value error, ")
        yield f"{field}: {message}" if field else message


def card_path(reference: str) -> Path:
    """Where the card lies that a setting names: an embedded model's name, or the path of a YAML file.

    Raises ValueError if there is no such card.
    """
    path = Path(reference) if reference.endswith((".yaml", ".yml")) else EMBEDDED / f"{reference}.yaml"
    if not path.is_file():
        embedded = ", ".join(sorted(card.stem for card in EMBEDDED.glob("*.yaml")))
        looked = "" if path.parent == EMBEDDED else f" at {path.absolute()}"
        raise ValueError(
            f"no model card {reference!r}{looked}; embedded models: {embedded}; otherwise give the path of a .yaml file"
        )
    return path
