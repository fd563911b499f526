"""What a photo may be given as, and the file that the service gets of it."""

import os
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deployments.imaging import as_shown
from deployments.imaging.as_shown import on_white, orientation_of

Colors = Literal["RGB", "BGR"]
Photo = str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8]
"""A path, a file's bytes, a Pillow image, or uint8 pixels [H, W, 3] (colours stated) or [H, W] (grey)."""
PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
LEAST_COMPRESSION = 1
"""Of PNG: it takes a fraction of the default's time, and the file is read once."""


class PhotoFile(NamedTuple):
    """A picture file and its name, if it has one: as httpx takes the files of a form."""

    name: str | None
    data: bytes


def is_photo(given: object) -> bool:
    """Whether this may be one photo."""
    return isinstance(given, str | os.PathLike | bytes | Image.Image | np.ndarray)


def photo_file(photo: Photo, colors: Colors | None) -> PhotoFile:
    """The file to send: paths and bytes as they are, pixels as PNG, which loses nothing.

    A Pillow image takes its EXIF along, by which the service turns it upright as it would the file.
    Raises TypeError and ValueError for what is no photo, or for pixels whose colour order is not stated; OSError.
    """
    match photo:
        case str() | os.PathLike():
            return PhotoFile(_name(photo), Path(photo).read_bytes())
        case bytes():
            return PhotoFile(None, photo)
        case Image.Image():
            return PhotoFile(_name(getattr(photo, "filename", "")), _png(photo))
        case np.ndarray():
            return PhotoFile(None, _png(_from_pixels(photo, colors)))
    raise TypeError(f"a photo is a path, bytes, a Pillow image or an array, not {type(photo).__name__}")


def upright(photo: Photo, colors: Colors | None) -> NDArray[np.uint8]:
    """The photo as the service sees it, upright RGB [H, W, 3]. Raises as ``photo_file``, and OSError of Pillow."""
    match photo:
        case Image.Image():
            image = photo
        case np.ndarray():
            image = _from_pixels(photo, colors)
        case _:
            image = Image.open(BytesIO(photo_file(photo, colors).data))
    image.load()  # of some formats Pillow knows only then which way is up
    pixels = on_white(image.convert("RGBA")) if image.has_transparency_data else np.asarray(image.convert("RGB"))
    return as_shown.upright(pixels, orientation_of(image.info.get("exif")))


def _from_pixels(pixels: NDArray[Any], colors: Colors | None) -> Image.Image:
    planes = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if pixels.dtype != np.uint8 or not planes or pixels.size == 0:
        raise ValueError(f"pixels are uint8 [H, W, 3] or [H, W], not {pixels.dtype} {list(pixels.shape)}")
    if pixels.ndim == 2:
        return Image.fromarray(pixels)
    if colors not in ("RGB", "BGR"):
        raise ValueError("an array does not say its colour order: add colors='RGB', or colors='BGR' for one of OpenCV")
    return Image.fromarray(np.ascontiguousarray(pixels if colors == "RGB" else pixels[..., ::-1]))


def _png(image: Image.Image) -> bytes:
    image.load()
    exif = image.info.get("exif", b"")
    written = image if image.mode in PNG_MODES else image.convert("RGB")
    file = BytesIO()
    written.save(file, "PNG", exif=exif, compress_level=LEAST_COMPRESSION)
    return file.getvalue()


def _name(path: str | os.PathLike[str]) -> str | None:
    """The last part of a path, in Unicode whatever its bytes are."""
    return os.fsencode(Path(path).name).decode(errors="replace") or None
