"""Folders of picture files through ``decode`` and through Pillow: ``python -m benchmarks.pictures FOLDER ...``.

Names every file that one of them alone reads, or whose pixels differ by more than two levels, and counts the rest.
Pillow's pixels get what ``decode`` does by rule: alpha on white, the high byte of 16 bits, EXIF orientation.
"""

import warnings
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from deployments.imaging.decode import ImageError, decode, exif_orientation, upright

SUFFIXES = {".jpg", ".jpeg", ".png", ".apng", ".gif", ".tif", ".tiff", ".bmp", ".webp", ".avif", ".heic", ".heif"}
MAX_PIXELS = 20_000_000


def by_pillow(data: bytes) -> NDArray[np.uint8]:
    """RGB, uint8 [H, W, 3]. Raises whatever Pillow does."""
    image = Image.open(BytesIO(data))
    image.load()
    if image.mode.startswith("I"):
        return np.repeat((np.asarray(image).astype(np.int64) >> 8).astype(np.uint8)[..., None], 3, axis=2)
    if image.has_transparency_data:
        rgba, white = image.convert("RGBA"), Image.new("RGB", image.size, "white")
        white.paste(rgba, mask=rgba.getchannel("A"))
        pixels = np.array(white)
    else:
        pixels = np.array(image.convert("RGB"))
    try:
        return upright(pixels, exif_orientation(data))
    except ImageError:
        return pixels


def compare(data: bytes) -> tuple[str, str]:
    """The row of the summary that a file counts in, and what to say of it."""
    try:
        theirs, refusal = by_pillow(data), ""
    except Exception as error:  # every plugin has its own
        theirs, refusal = None, repr(error)
    try:
        ours = decode(data, MAX_PIXELS)
    except ImageError as error:
        return ("refused by both", "") if theirs is None else ("read by Pillow alone", str(error))
    if theirs is None:
        return "read here alone", refusal
    if theirs.shape != ours.shape:
        return "other size", f"{theirs.shape} {ours.shape}"
    difference = np.abs(theirs.astype(int) - ours)
    if difference.max() <= 2:
        return ("the same", "") if difference.max() == 0 else ("within 2 levels", "")
    return "other pixels", f"mean difference {difference.mean():.1f}"


def main(folders: Annotated[list[Path], typer.Argument(exists=True, file_okay=False)]) -> None:
    """Compare every picture file below the folders."""
    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    counts: Counter[str] = Counter()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                row, note = compare(path.read_bytes())
                counts[row] += 1
                if note:
                    print(f"{row}: {path.relative_to(folder)}: {note}")
    for row, count in counts.most_common():
        print(f"{count:6d} {row}")


if __name__ == "__main__":
    typer.run(main)
