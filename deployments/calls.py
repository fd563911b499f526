"""What travels between the ingress and a replica, both ways."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from deployments.results import Results
from deployments.shared_pixels import NotShared, SharedPixels


@dataclass(frozen=True, slots=True)
class MaskDetectionOptions:
    """Per request; None leaves the model's default."""

    face_threshold: float | None = None


@dataclass(frozen=True, slots=True)
class InstanceSegmentationOptions:
    """Per request; None leaves the model's default."""

    score_threshold: float | None = None
    classes: tuple[str, ...] | None = None
    """Labels to keep."""
    max_instances: int | None = None


@dataclass(frozen=True, slots=True)
class ObjectDetectionOptions:
    """Per request; None leaves the model's default."""

    score_threshold: float | None = None
    nms_iou: float | None = None
    """Of two boxes of one label that overlap more than this, only the better is kept."""
    classes: tuple[str, ...] | None = None
    """Labels to keep."""
    max_objects: int | None = None


Pixels = NDArray[np.uint8] | SharedPixels
"""Of one prepared image, RGB [h, w, 3], themselves or where to find them."""
TaskOptions = MaskDetectionOptions | InstanceSegmentationOptions | ObjectDetectionOptions


def threshold_names(options: type[TaskOptions]) -> tuple[str, ...]:
    """The options that are fractions: a model card, and the settings of a replica, may give defaults for them."""
    return tuple(field.name for field in fields(options) if field.type == float | None)


@dataclass(frozen=True, slots=True)
class Call:
    """One image's call to one replica, but for its pixels, which travel beside it."""

    height: int
    """Of the upright original image, in pixels; results come back in these."""
    width: int
    options: TaskOptions
    deadline: float
    """Wall clock, seconds since the epoch: it must mean the same on every machine."""
    request_id: str
    traceparent: str | None = None
    """W3C trace context of the request."""
    card: str | None = None
    """Digest of the model card that the image was prepared for; None takes what there is."""


@dataclass(frozen=True, slots=True)
class Item:
    """A call with its pixels: uint8 RGB [h, w, 3], resized as the model's ImageSpec says."""

    image: NDArray[np.uint8]
    call: Call


@dataclass(frozen=True, slots=True)
class Answer:
    """What a replica returns for one image."""

    results: Results
    queue_ms: float
    """Time in the batcher before the run."""
    run_ms: float
    """Time of the batch's run plus this image's own finishing."""
    batch: str = ""
    """The batch that it ran in: the replica's name, and a number."""


class CallExpired(Exception):
    """The call's deadline passed before the model ran."""


class OtherModel(Exception):
    """The replica's model has another card than the call's: a new version is being rolled out."""

    def __init__(self, card: str) -> None:
        super().__init__(card)
        self.card = card
        """The replica's, as JSON."""


class ReplicaOverloaded(Exception):
    """The replica's queue is full, or its memory."""


class ReplicaHung(Exception):
    """The replica's device has not ended a batch in time, and holds up all others."""


Refusal = CallExpired | OtherModel | ReplicaOverloaded | NotShared
REFUSALS = (CallExpired, OtherModel, ReplicaOverloaded, NotShared)
"""What a replica may say instead of an answer though nothing is wrong with it."""
