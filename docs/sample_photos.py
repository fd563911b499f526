"""Makes the page's sample photos: ``python docs/sample_photos.py``.

Two portraits in the public domain, as scikit-image and matplotlib ship them: NASA's of the astronaut Eileen Collins and
the US Navy's of Rear Admiral Grace Hopper. The masks are drawn on here.
"""

from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps
from skimage import data

FOLDER = Path(__file__).parents[1] / "serve_app" / "web" / "samples"
MOST_BYTES = 60_000
Box = tuple[float, float, float, float]
OUTLINE = ((0.06, 0.06), (0.30, 0.03), (0.5, -0.07), (0.70, 0.03), (0.94, 0.06), (0.97, 0.5), (0.80, 0.86), (0.5, 1.02))
"""Over nose, cheeks and chin, as shares of the mask's box; the left side mirrors the right."""
CLOTH = (186, 214, 232)
SHARPNESS = 4
"""Pixels drawn for each that is kept, along a side."""


def main() -> None:
    """Write the three photos."""
    astronaut = Image.fromarray(data.astronaut())
    folder = Path(matplotlib.get_data_path()) / "sample_data"
    admiral = Image.open(folder / "grace_hopper.jpg").convert("RGB")
    masked = wear_mask(astronaut, (180, 106, 250, 172), ears=((168, 108), (262, 106)))
    save("masked.jpg", masked)
    save("bare.jpg", admiral)
    left = at_height(ImageOps.mirror(masked.crop((0, 0, 430, 430))), 440)
    right = at_height(admiral.crop((60, 0, 452, 606)), 440)
    both = Image.new("RGB", (left.width + right.width, 440))
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    save("together.jpg", both)


def at_height(photo: Image.Image, height: int) -> Image.Image:
    """Resized, sides in proportion."""
    return photo.resize((round(photo.width * height / photo.height), height), Image.Resampling.LANCZOS)


def wear_mask(photo: Image.Image, box: Box, ears: tuple[tuple[float, float], tuple[float, float]]) -> Image.Image:
    """A copy with a pleated surgical mask over ``box`` (left, top, right, bottom) and loops to both ears."""
    size = (photo.width * SHARPNESS, photo.height * SHARPNESS)
    left, top, right, bottom = (side * SHARPNESS for side in box)
    mirrored = [(1 - x, y) for x, y in reversed(OUTLINE[5:-1])]
    corners = [(left + x * (right - left), top + y * (bottom - top)) for x, y in (*OUTLINE, *mirrored)]
    shape = Image.new("L", size)
    ImageDraw.Draw(shape).polygon(curve(corners), fill=255)

    # A cylinder's shading, darker towards the ears, and folds.
    across = np.clip((np.arange(size[0]) - left) / (right - left), 0, 1)
    shade = 0.80 + 0.20 * np.sin(across * np.pi) ** 0.7
    cloth = Image.fromarray(
        np.broadcast_to(shade[None, :, None] * np.array(CLOTH), (size[1], size[0], 3)).astype(np.uint8)
    )
    for share in (0.30, 0.50, 0.70):
        sag = (bottom - top) * 0.04
        y = top + share * (bottom - top)
        fold = curve([(left - 20, y - sag), ((left + right) / 2, y + sag), (right + 20, y - sag)], closed=False)
        ImageDraw.Draw(cloth).line(fold, fill=tuple(int(c * 0.82) for c in CLOTH), width=3)
        ImageDraw.Draw(cloth).line([(x, y + 4) for x, y in fold], fill=(226, 240, 249), width=3)

    drawn = photo.resize(size, Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(drawn)
    for ear, corner in zip(ears, (corners[0], corners[4]), strict=True):
        pen.line([corner, (ear[0] * SHARPNESS, ear[1] * SHARPNESS)], fill=(232, 238, 242), width=5)
    shadow = shape.filter(ImageFilter.GaussianBlur(9)).point(lambda value: value * 0.35)
    drawn.paste((40, 25, 20), mask=ImageChops.offset(shadow, 0, 8))
    drawn.paste(cloth.filter(ImageFilter.GaussianBlur(1)), mask=shape)
    return drawn.resize(photo.size, Image.Resampling.LANCZOS)


def curve(points: list[tuple[float, float]], closed: bool = True, steps: int = 24) -> list[tuple[float, float]]:
    """A Catmull-Rom spline through the points."""
    count = len(points)
    at = np.array([points[0], *points, points[-1]] if not closed else [points[-1], *points, points[0], points[1]])
    drawn = []
    for index in range(count if closed else count - 1):
        p0, p1, p2, p3 = at[index : index + 4]
        for t in np.linspace(0, 1, steps, endpoint=False)[:, None]:
            part = 2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
            drawn.append(tuple(part / 2))
    return [(float(x), float(y)) for x, y in [*drawn, *([] if closed else [points[-1]])]]


def save(name: str, photo: Image.Image) -> None:
    """The best JPEG that is small enough."""
    for quality in range(92, 50, -4):
        photo.save(FOLDER / name, quality=quality, optimize=True, progressive=True)
        if (FOLDER / name).stat().st_size < MOST_BYTES:
            break
    print(name, photo.size, quality, (FOLDER / name).stat().st_size)


if __name__ == "__main__":
    main()
