"""What the models answer: plain values in pixels of the upright original image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

FaceLabel = Literal["MASK", "NO MASK"]


class RLE(TypedDict):
    """A binary mask as COCO's compressed run-length encoding, column-major."""

    size: list[int]
    """[height, width] of the mask in pixels."""
    counts: str
    """COCO's ASCII-compressed run lengths."""


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned box in pixels; left and top are inclusive, right and bottom exclusive."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        """Area in square pixels; 0 for an empty or inverted box."""
        return max(0.0, self.right - self.left) * max(0.0, self.bottom - self.top)

    def intersection(self, other: "Box") -> float:
        """Area shared with another box, in square pixels."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, width) * max(0.0, height)

    def iou(self, other: "Box") -> float:
        """Intersection over union with another box, in [0, 1]."""
        shared = self.intersection(other)
        union = self.area + other.area - shared
        return shared / union if union > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Face:
    """A detected face and whether it wears a mask."""

    box: Box
    face_score: float
    """The detector's probability that the box holds a face."""
    label: FaceLabel
    confidence: float
    """The classifier's probability of ``label``."""


@dataclass(frozen=True, slots=True)
class Instance:
    """A segmented object."""

    label_id: int
    label: str
    score: float
    box: Box
    """The mask's extent."""
    mask: RLE
    """The mask at the size of the original image."""
    area: int
    """Number of mask pixels."""


@dataclass(frozen=True, slots=True)
class Detection:
    """A detected object, known by its box only."""

    label_id: int
    label: str
    score: float
    box: Box


Results = Sequence[Face] | Sequence[Instance] | Sequence[Detection]
"""What a model answers for one image, best first."""
