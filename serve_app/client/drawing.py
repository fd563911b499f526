"""The answer drawn on a photo, with Pillow alone; the service's own drawing has smoother outlines."""

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageChops, ImageFilter, ImageOps

from deployments.imaging.labels import Color, draw_boxes, instance_color, line_width, pixel_corners
from serve_app.client.photos import Colors, Photo, upright

if TYPE_CHECKING:
    from serve_app.client.results import Analysis, Instance

MASK_OPACITY = 0.4


def draw(analysis: "Analysis", photo: Photo, colors: Colors | None) -> Image.Image:
    """See ``Analysis.draw``."""
    picture = Image.fromarray(np.ascontiguousarray(upright(photo, colors)))
    if picture.size != (analysis.width, analysis.height):
        raise ValueError(
            f"the photo is {picture.width}x{picture.height}, the answer is of one of {analysis.width}x{analysis.height}"
        )
    line = line_width(np.asarray(picture))
    for index, instance in enumerate(analysis.instances):
        if instance.rle is not None:
            _tint(picture, instance, instance_color(index), line)
    return Image.fromarray(draw_boxes(np.array(picture), analysis.faces, analysis.instances, analysis.objects))


def _tint(picture: Image.Image, instance: "Instance", color: Color, line: int) -> None:
    """Tint the mask's pixels, and those along its edge wholly, within the instance's box only."""
    window = pixel_corners(instance.box, picture.width, picture.height)
    left, top, right, bottom = window
    inside = Image.fromarray(instance.mask[top:bottom, left:right].astype(np.uint8) * 255)
    if 0 in inside.size:
        return
    region = picture.crop(window)
    tint = Image.new("RGB", region.size, color)
    region.paste(Image.blend(region, tint, MASK_OPACITY), mask=inside)
    # With the margin, the mask also has an edge where it meets the window's border.
    core = ImageOps.expand(inside, border=1).filter(ImageFilter.MinFilter(2 * max(1, line // 2) + 1))
    region.paste(tint, mask=ImageChops.subtract(inside, ImageOps.crop(core, border=1)))
    picture.paste(region, (left, top))
