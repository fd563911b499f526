"""Answers drawn on the photo, readable from a thumbnail to a large print."""

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np

from deployments.imaging.labels import Color, Pixels, draw_boxes, instance_color, line_width, pixel_corners
from deployments.imaging.rle import decode_rle, rle_area, rle_box
from deployments.results import Detection, Face, Instance

MASK_OPACITY = 0.4
LONGEST_JPEG_SIDE = 65500
"""Pixels: the most that a JPEG encoder takes."""


def draw(
    image: Pixels, faces: Sequence[Face], instances: Sequence[Instance], objects: Sequence[Detection] = ()
) -> Pixels:
    """Draw what was found on a copy of RGB uint8 [H, W, 3]; masks must have the image's size.

    Instances get a translucent mask with an outline; boxes and labels are those of ``draw_boxes``. Lines and text grow
    with the picture. Raises ValueError for a mask of another size.
    """
    canvas = image.copy()
    for index, instance in enumerate(instances):
        _blend_mask(canvas, instance, instance_color(index), line_width(canvas))
    return draw_boxes(canvas, faces, instances, objects)


def encode_picture(image: Pixels, format: Literal["jpeg", "png"]) -> bytes:
    """Encode RGB uint8 [H, W, 3]; JPEG at quality 90. Raises ValueError for a picture that the format cannot hold."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 90] if format == "jpeg" else []
    encoded, data = cv2.imencode(f".{format}", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not encoded:
        raise ValueError(f"a picture of {image.shape[1]}x{image.shape[0]} pixels cannot be written as {format}")
    return data.tobytes()


def _blend_mask(canvas: Pixels, instance: Instance, color: Color, line: int) -> None:
    """Tint the mask's pixels and trace its outline, within the instance's box only."""
    if instance.mask["size"] != list(canvas.shape[:2]):
        raise ValueError(f"the mask is {instance.mask['size']}, the picture {list(canvas.shape[:2])}")
    if rle_area(instance.mask) == 0:
        return
    left, top, right, bottom = pixel_corners(rle_box(instance.mask), canvas.shape[1], canvas.shape[0])
    window = np.s_[top:bottom, left:right]
    inside = decode_rle(instance.mask)[window].astype(np.uint8)
    blended = np.arange(256)[:, None] * (1 - MASK_OPACITY) + np.array(color) * MASK_OPACITY
    region = np.ascontiguousarray(canvas[window])
    cv2.copyTo(cv2.LUT(region, np.rint(blended).astype(np.uint8)[None]), inside, region)
    contours, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(region, contours, -1, color, max(1, line // 2), cv2.LINE_AA)
    canvas[window] = region
