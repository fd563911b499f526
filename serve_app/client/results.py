"""The service's answer as values: coordinates are pixels of the upright photo, right and bottom exclusive."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deployments.imaging.polygons import Polygon, to_polygons
from deployments.imaging.rle import decode_rle
from deployments.results import RLE, Box, Detection, Face, FaceLabel
from serve_app.client import exports
from serve_app.client.drawing import draw
from serve_app.client.errors import ServiceFault
from serve_app.client.options import Task
from serve_app.client.photos import Colors, Photo

if TYPE_CHECKING:
    import supervision


@dataclass(frozen=True, slots=True)
class Instance:
    """A segmented object."""

    label_id: int
    label: str
    score: float
    box: Box
    """The mask's extent."""
    area: int
    """Number of mask pixels."""
    rle: RLE | None = field(repr=False)
    """The mask as COCO's compressed run-length encoding; None where it was asked to be left out."""

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The mask at the photo's size, bool [H, W], decoded anew each time. Raises ValueError where there is none."""
        if self.rle is None:
            raise ValueError("this answer has no masks: it was asked for with masks=False")
        return decode_rle(self.rle)

    def polygon(self) -> list[Polygon]:
        """The mask's outline along pixel edges: for each part ``{"exterior": [[x, y], ...], "holes": [...]}``.

        Raises ValueError where there is no mask.
        """
        return to_polygons(self.mask)


@dataclass(frozen=True, slots=True)
class Person:
    """A person, and the face tied to it, if one is."""

    instance: Instance
    face: Face | None
    mask: FaceLabel | None
    """What the face wears."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with a photo, or with one task on it."""

    code: str
    message: str
    task: Task | None
    """None where the photo could not be read at all."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """Everything found in one photo."""

    name: str | None
    """The file's name, where the photo had one."""
    width: int
    height: int
    """Pixels of the upright photo; both are 0 where it could not be read."""
    faces: tuple[Face, ...]
    instances: tuple[Instance, ...]
    people: tuple[Person, ...]
    """One for each instance that is a person, in their order."""
    objects: tuple[Detection, ...]
    """Of the third branch, where the service has one."""
    errors: tuple[Failure, ...]
    """Empty where every task succeeded: a task with an entry here found nothing because it failed."""
    models: Mapping[str, str]
    """Name and version of the model that each task ran."""
    request_id: str
    timing_ms: Mapping[str, Any]
    """Of the whole request, as the service measured it."""
    annotated: bytes | None
    """The photo with its answer drawn on it, as JPEG or PNG, where ``annotate`` asked for it."""

    def to_supervision(self, of: exports.Of = "instances") -> "supervision.Detections":
        """As ``supervision.Detections``, instances with their masks. Raises ImportError without that package."""
        return exports.to_supervision(self, of)

    def to_coco(self, of: exports.Of = "instances") -> dict[str, Any]:
        """As a COCO dataset of this one photo; ``serve_app.client.to_coco`` makes one of several."""
        return exports.to_coco([self], of)

    def to_labelme(self) -> dict[str, Any]:
        """As a file of labelme: faces and objects as rectangles, instances as polygons, whose holes are left out."""
        return exports.to_labelme(self)

    def draw(self, photo: Photo, *, colors: Colors | None = None) -> Image.Image:
        """The answer drawn on the photo, upright RGB. Raises ValueError for a photo of another size, OSError."""
        return draw(self, photo, colors)


def read_answer(answer: Mapping[str, Any]) -> list[Analysis]:
    """The photos of an answer of ``POST /analyze`` with RLE masks or none. Raises ServiceFault for anything else."""
    try:
        return [_analysis(image, answer) for image in answer["images"]]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        message = f"this is no answer of Maskgraph, or of a version that is not known here: {error!r}"
        raise ServiceFault(message, "not_maskgraph") from error


def _analysis(image: Mapping[str, Any], answer: Mapping[str, Any]) -> Analysis:
    faces = tuple(
        Face(_box(face["box"]), face["face_score"], face["label"], face["confidence"]) for face in image["faces"]
    )
    instances = tuple(
        Instance(one["label_id"], one["label"], one["score"], _box(one["box"]), one["area"], one.get("mask"))
        for one in image["instances"]
    )
    return Analysis(
        name=image["name"],
        width=image["width"],
        height=image["height"],
        faces=faces,
        instances=instances,
        people=_people(image["people"], instances, faces),
        objects=tuple(
            Detection(one["label_id"], one["label"], one["score"], _box(one["box"])) for one in image.get("objects", ())
        ),
        errors=tuple(Failure(one["code"], one["message"], one.get("task")) for one in image["errors"]),
        models=answer["models"],
        request_id=answer["request_id"],
        timing_ms=answer["timing_ms"],
        annotated=_picture(image.get("annotated")),
    )


def _people(
    people: Sequence[Mapping[str, Any]], instances: Sequence[Instance], faces: Sequence[Face]
) -> tuple[Person, ...]:
    return tuple(
        Person(instances[one["instance"]], None if one["face"] is None else faces[one["face"]], one["mask"])
        for one in people
    )


def _box(box: Mapping[str, float]) -> Box:
    return Box(box["left"], box["top"], box["right"], box["bottom"])


def _picture(uri: str | None) -> bytes | None:
    return None if uri is None else base64.b64decode(uri.partition(",")[2], validate=True)
