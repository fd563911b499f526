"""Boxes and their labels on a picture, with numpy and Pillow alone; readable from a thumbnail to a large print."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from deployments.results import Box, Detection, Face

Color = tuple[int, int, int]
Pixels = NDArray[np.uint8]

# A bluish green and a vermilion, which differ in lightness too: told apart under every common colour blindness.
FACE_COLORS: dict[str, Color] = {"MASK": (0, 166, 118), "NO MASK": (213, 43, 30)}
# No green or red, so that people are not mistaken for verdicts; neighbours in the list differ most.
INSTANCE_COLORS: tuple[Color, ...] = (
    (64, 132, 244),
    (245, 166, 35),
    (155, 81, 224),
    (45, 200, 220),
    (236, 100, 175),
    (240, 215, 60),
    (95, 90, 200),
    (170, 125, 85),
    (120, 175, 230),
    (190, 150, 240),
)
SMALLEST_TEXT = 7


class Labelled(Protocol):
    """What has a box, a label and a score."""

    @property
    def box(self) -> Box: ...
    @property
    def label(self) -> str: ...
    @property
    def score(self) -> float: ...


@dataclass(frozen=True)
class _Plate:
    """A text and the box on the picture that its label takes, padding included."""

    text: str
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont
    padding: int
    color: Color
    width: int
    height: int
    anchor: Box
    """What the label belongs to."""


def line_width(canvas: Pixels) -> int:
    """Pixels of a line on a picture [H, W, 3]: it grows with it."""
    return max(1, round(_size(canvas) / 400))


def instance_color(index: int) -> Color:
    """The colour of a picture's instance of that index, in RGB."""
    return INSTANCE_COLORS[index % len(INSTANCE_COLORS)]


def draw_boxes(
    canvas: Pixels, faces: Sequence[Face], instances: Sequence[Labelled], objects: Sequence[Detection]
) -> Pixels:
    """Draw boxes on RGB uint8 [H, W, 3], in place, and give a copy with their labels too.

    Instances get a thin box and "label score"; objects a box and "label score", in one colour for each label; faces a
    box and "label confidence" in the colour of their label.
    """
    height, width = canvas.shape[:2]
    line = line_width(canvas)
    for index, instance in enumerate(instances):
        _outline_box(canvas, instance.box, instance_color(index), max(1, line // 2))
    for found in objects:
        _outline_box(canvas, found.box, _object_color(found), line)
    for face in faces:
        _outline_box(canvas, face.box, FACE_COLORS[face.label], line)
    text_size = max(9, round(_size(canvas) / 42))
    plates = [
        _plate(f"{face.label} {face.confidence:.0%}", text_size, FACE_COLORS[face.label], face.box, width)
        for face in faces
    ]
    plates += [
        _plate(f"{instance.label} {instance.score:.2f}", text_size, instance_color(index), instance.box, width)
        for index, instance in enumerate(instances)
    ]
    plates += [
        _plate(f"{found.label} {found.score:.2f}", text_size, _object_color(found), found.box, width)
        for found in objects
    ]
    return _write_plates(canvas, plates, [Box(*pixel_corners(face.box, width, height)) for face in faces])


def pixel_corners(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom clipped to the picture, in whole pixels, right and bottom exclusive."""
    left, right = (min(max(round(x), 0), width) for x in (box.left, box.right))
    top, bottom = (min(max(round(y), 0), height) for y in (box.top, box.bottom))
    return left, top, right, bottom


def _size(canvas: Pixels) -> float:
    """The side of a square as large as the picture."""
    height, width = canvas.shape[:2]
    return float((height * width) ** 0.5)


def _object_color(found: Detection) -> Color:
    return INSTANCE_COLORS[found.label_id % len(INSTANCE_COLORS)]


def _outline_box(canvas: Pixels, box: Box, color: Color, line: int) -> None:
    """A rectangle whose line lies inside the box, so that boxes at the picture's edge stay whole."""
    left, top, right, bottom = pixel_corners(box, canvas.shape[1], canvas.shape[0])
    line = min(line, max(1, (right - left) // 4), max(1, (bottom - top) // 4))
    for area in (
        np.s_[top : min(top + line, bottom), left:right],
        np.s_[max(bottom - line, top) : bottom, left:right],
        np.s_[top:bottom, left : min(left + line, right)],
        np.s_[top:bottom, max(right - line, left) : right],
    ):
        canvas[area] = color


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _plate(text: str, size: int, color: Color, anchor: Box, picture_width: int) -> _Plate:
    """Measure a label, in smaller type where it would be wider than the picture."""
    length = _font(size).getlength(text) + 2 * max(1, size // 4)
    if length > picture_width:
        size = max(SMALLEST_TEXT, int(size * picture_width / length))
    padding = max(1, size // 4)
    width = round(_font(size).getlength(text)) + 2 * padding
    return _Plate(text, _font(size), padding, color, width, size + 2 * padding, anchor)


def _write_plates(canvas: Pixels, plates: Sequence[_Plate], faces: Sequence[Box]) -> Pixels:
    picture = Image.fromarray(canvas)
    pen = ImageDraw.Draw(picture)
    taken = np.empty((len(plates), 4))
    kept_clear = np.array([_sides(face) for face in faces]).reshape(-1, 4)
    for index, plate in enumerate(plates):
        box = _place(plate, picture.width, picture.height, taken[:index], kept_clear)
        taken[index] = _sides(box)
        radius = plate.padding
        pen.rounded_rectangle((box.left, box.top, box.right - 1, box.bottom - 1), radius, fill=plate.color)
        red, green, blue = plate.color
        ink = "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "white"
        middle = (box.top + box.bottom) / 2
        pen.text((box.left + plate.padding, middle), plate.text, fill=ink, font=plate.font, anchor="lm")
    return np.array(picture)


def _place(plate: _Plate, width: int, height: int, placed: NDArray[np.float64], faces: NDArray[np.float64]) -> Box:
    """The place near the anchor, inside the picture, that hides least of other labels, then of the faces.

    placed, faces: left, top, right, bottom in pixels, [n, 4].
    """
    left, top, right, bottom = pixel_corners(plate.anchor, width, height)
    rows = (top - plate.height, bottom, top, bottom - plate.height, top - 2 * plate.height, bottom + plate.height)
    columns = (left, right - plate.width, (left + right - plate.width) // 2)
    corners = np.array([(x, y) for y in rows for x in columns])
    corners = np.clip(corners, 0, np.maximum(0, (width - plate.width, height - plate.height)))
    places = np.hstack([corners, corners + np.array([plate.width, plate.height])])
    # The last key goes first, and of equal places the first.
    best = np.lexsort((_shared_areas(places, faces), _shared_areas(places, placed)))[0]
    return Box(*places[best].tolist())


def _sides(box: Box) -> tuple[float, float, float, float]:
    return box.left, box.top, box.right, box.bottom


def _shared_areas(places: NDArray[np.int64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of all ``boxes`` [n, 4] each of ``places`` [m, 4] covers, in square pixels: [m]."""
    sizes = np.minimum(places[:, None, 2:], boxes[:, 2:]) - np.maximum(places[:, None, :2], boxes[:, :2])
    areas: NDArray[np.float64] = np.clip(sizes, 0, None).prod(axis=2).sum(axis=1)
    return areas
