"""What an analysis of photos is asked for and what it finds, whatever the wire and the transport."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deployments.calls import InstanceSegmentationOptions, MaskDetectionOptions, ObjectDetectionOptions
from deployments.models.card import ModelCard, Task
from deployments.results import Detection, Face, Instance, Results
from serve_app.people import Person

FOUND: dict[Task, str] = {
    "mask_detection": "faces",
    "instance_segmentation": "instances",
    "object_detection": "objects",
}
"""The field of an ImageAnalysis that holds a task's results."""


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """A picture file as it came, with the client's name for it if any."""

    data: bytes
    name: str | None = None


@dataclass(frozen=True, slots=True)
class AnalyzeOptions:
    """What a request may set; None leaves the model's or the service's default."""

    tasks: tuple[Task, ...] | None = None
    """None for every one that the service has a branch for."""
    mask_detection: MaskDetectionOptions = field(default_factory=MaskDetectionOptions)
    instance_segmentation: InstanceSegmentationOptions = field(default_factory=InstanceSegmentationOptions)
    object_detection: ObjectDetectionOptions = field(default_factory=ObjectDetectionOptions)
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class AnalyzeRequest:
    """What every dialect parses its wire format into."""

    images: Sequence[EncodedImage | NDArray[np.uint8]]
    """Picture files, or upright uint8 RGB arrays [H, W, 3] where the protocol carries pixels."""
    request_id: str
    options: AnalyzeOptions = field(default_factory=AnalyzeOptions)
    traceparent: str | None = None
    keep_pixels: bool = False
    """Whether the answer holds the decoded pictures, for drawing."""
    then: "Callable[[ImageAnalysis], Awaitable[None]] | None" = None
    """Called with each image once it is analysed, while its pixels have their room; what it raises, analyze does."""
    arrived: float = field(default_factory=time.time)
    """Wall clock, seconds since the epoch: when the deadline began to run."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with an image (task is None) or with one branch of it."""

    code: str
    """unreadable_image, unsupported_format, image_too_large, overloaded, unavailable, deadline_exceeded or internal."""
    message: str
    task: Task | None = None


@dataclass(slots=True)
class ImageAnalysis:
    """Everything found in one image; width and height are 0 where it could not be read."""

    name: str | None
    width: int = 0
    height: int = 0
    faces: Sequence[Face] = ()
    instances: Sequence[Instance] = ()
    people: Sequence[Person] = ()
    objects: Sequence[Detection] = ()
    errors: list[Failure] = field(default_factory=list)
    timing_ms: dict[str, float | dict[str, float]] = field(default_factory=dict)
    pixels: NDArray[np.uint8] | None = None

    def found(self, task: Task) -> Results:
        """A task's results."""
        results: Results = getattr(self, FOUND[task])
        return results


@dataclass(frozen=True, slots=True)
class Analysis:
    """The answer to a request, one entry an image, in order."""

    images: list[ImageAnalysis]
    cards: dict[Task, ModelCard]
    """Of each task's model that ran, the same for all images."""
    total_ms: float

    @property
    def models(self) -> dict[Task, str]:
        """Each task's model by name and version."""
        return {task: card.identity for task, card in self.cards.items()}

    @property
    def labels(self) -> dict[Task, tuple[str, ...]]:
        """The labels of each task's model."""
        return {task: card.labels for task, card in self.cards.items()}
