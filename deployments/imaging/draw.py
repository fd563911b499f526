"""Answers drawn on the photo, readable from a thumbnail to a large print."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from deployments.imaging.masks import decode_rle, rle_area, rle_box
from deployments.results import Box, Detection, Face, Instance

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
MASK_OPACITY = 0.4
SMALLEST_TEXT = 7
LONGEST_JPEG_SIDE = 65500
"""Pixels: the most that a JPEG encoder takes."""


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


def draw(
    image: Pixels, faces: Sequence[Face], instances: Sequence[Instance], objects: Sequence[Detection] = ()
) -> Pixels:
    """Draw what was found on a copy of RGB uint8 [H, W, 3]; masks must have the image's size.

    Instances get a translucent mask with an outline, a thin box and "label score"; objects a box and "label score", in
    one colour for each label; faces a box and "label confidence" in the colour of their label. Lines and text grow with
    the picture. Raises ValueError for a mask of another size.
    """
    canvas = image.copy()
    height, width = canvas.shape[:2]
    size = (height * width) ** 0.5
    line = max(1, round(size / 400))
    colors = [INSTANCE_COLORS[index % len(INSTANCE_COLORS)] for index in range(len(instances))]
    for instance, color in zip(instances, colors, strict=True):
        _blend_mask(canvas, instance, color, line)
    for instance, color in zip(instances, colors, strict=True):
        _outline_box(canvas, instance.box, color, max(1, line // 2))
    for found in objects:
        _outline_box(canvas, found.box, _object_color(found), line)
    for face in faces:
        _outline_box(canvas, face.box, FACE_COLORS[face.label], line)
    text_size = max(9, round(size / 42))
    plates = [
        _plate(f"{face.label} {face.confidence:.0%}", text_size, FACE_COLORS[face.label], face.box, width)
        for face in faces
    ]
    plates += [
        _plate(f"{instance.label} {instance.score:.2f}", text_size, color, instance.box, width)
        for instance, color in zip(instances, colors, strict=True)
    ]
    plates += [
        _plate(f"{found.label} {found.score:.2f}", text_size, _object_color(found), found.box, width)
        for found in objects
    ]
    return _write_plates(canvas, plates, [Box(*_pixel_corners(face.box, width, height)) for face in faces])


def encode_picture(image: Pixels, format: Literal["jpeg", "png"]) -> bytes:
    """Encode RGB uint8 [H, W, 3]; JPEG at quality 90. Raises ValueError for a picture that the format cannot hold."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 90] if format == "jpeg" else []
    encoded, data = cv2.imencode(f".{format}", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not encoded:
        raise ValueError(f"a picture of {image.shape[1]}x{image.shape[0]} pixels cannot be written as {format}")
    return data.tobytes()


def _object_color(found: Detection) -> Color:
    return INSTANCE_COLORS[found.label_id % len(INSTANCE_COLORS)]


def _pixel_corners(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom clipped to the picture, in whole pixels, right and bottom exclusive."""
    left, right = (min(max(round(x), 0), width) for x in (box.left, box.right))
    top, bottom = (min(max(round(y), 0), height) for y in (box.top, box.bottom))
    return left, top, right, bottom


def _blend_mask(canvas: Pixels, instance: Instance, color: Color, line: int) -> None:
    """Tint the mask's pixels and trace its outline, within the instance's box only."""
    if instance.mask["size"] != list(canvas.shape[:2]):
        raise ValueError(f"the mask is {instance.mask['size']}, the picture {list(canvas.shape[:2])}")
    if rle_area(instance.mask) == 0:
        return
    left, top, right, bottom = _pixel_corners(rle_box(instance.mask), canvas.shape[1], canvas.shape[0])
    window = np.s_[top:bottom, left:right]
    inside = decode_rle(instance.mask)[window].astype(np.uint8)
    blended = np.arange(256)[:, None] * (1 - MASK_OPACITY) + np.array(color) * MASK_OPACITY
    region = np.ascontiguousarray(canvas[window])
    cv2.copyTo(cv2.LUT(region, np.rint(blended).astype(np.uint8)[None]), inside, region)
    contours, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(region, contours, -1, color, max(1, line // 2), cv2.LINE_AA)
    canvas[window] = region


def _outline_box(canvas: Pixels, box: Box, color: Color, line: int) -> None:
    """A rectangle whose line lies inside the box, so that boxes at the picture's edge stay whole."""
    left, top, right, bottom = _pixel_corners(box, canvas.shape[1], canvas.shape[0])
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
    left, top, right, bottom = _pixel_corners(plate.anchor, width, height)
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
