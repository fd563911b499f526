"""Encoded pictures from strangers become upright RGB arrays, or an error that names what is wrong.

What a decoder says of a file is sorted by whether pixels can be wrong: metadata that is odd, large, broken or unknown
never refuses a picture, and damage of pixel data always does.
"""

import re
import warnings
from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image
from PIL.WebPImagePlugin import WebPImageFile

from deployments.imaging.as_shown import upright
from deployments.imaging.decode.errors import ImageError, ImageTooLarge, UnreadableImage, UnsupportedFormat
from deployments.imaging.decode.heif import HeifPicture
from deployments.imaging.decode.jpeg import JpegPicture
from deployments.imaging.decode.picture import ImageHeader, Picture, Pixels
from deployments.imaging.decode.png import PngPicture
from deployments.imaging.decode.raster import BmpPicture, GifPicture, RasterPicture, TiffPicture

__all__ = [
    "ImageError",
    "ImageHeader",
    "ImageTooLarge",
    "UnreadableImage",
    "UnsupportedFormat",
    "decode",
    "exif_orientation",
    "read_header",
    "upright",
]

# Of odd files Pillow warns by the thousand, each warning with numbers of the file's choice; Python keeps every one.
warnings.filterwarnings("ignore", module=r"PIL\.")

_READERS: tuple[tuple[str, re.Pattern[bytes], Callable[[bytes], Picture]], ...] = (
    ("JPEG", re.compile(rb"\xff\xd8\xff"), JpegPicture),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n"), PngPicture),
    ("WebP", re.compile(rb"RIFF....WEBP", re.DOTALL), lambda data: RasterPicture(WebPImageFile(BytesIO(data)))),
    ("AVIF or HEIC", re.compile(rb"....ftyp(av|he|mif1|msf1|miaf)", re.DOTALL), HeifPicture),
    ("GIF", re.compile(rb"GIF8[79]a"), GifPicture),
    ("TIFF", re.compile(rb"II[\x2a\x2b]\0|MM\0[\x2a\x2b]"), TiffPicture),
    ("BMP", re.compile(rb"BM"), BmpPicture),
)


def read_header(data: bytes) -> ImageHeader:
    """Read format and size without decoding a pixel; formats are recognised by content, never by name.

    Raises UnreadableImage, UnsupportedFormat, or ImageTooLarge for sizes beyond what Pillow opens at all.
    """
    return _open(data).header


def decode(data: bytes, max_pixels: int) -> Pixels:
    """Decode a JPEG, PNG, WebP, AVIF, BMP, TIFF or GIF file to upright RGB, uint8 [H, W, 3], C-contiguous.

    HEIC too, where pillow-heif is installed.

    The pixel count is checked against ``max_pixels`` from the header, before any pixel is decoded. EXIF orientation is
    applied; alpha is composited on white; 16-bit samples keep their high byte; of several frames or pages the first is
    taken; colour profiles and other metadata are ignored. Safe to call from several threads at once.

    Raises UnreadableImage for empty, truncated or corrupt data, UnsupportedFormat for other formats and for pixels
    without a defined RGB value (floating point, L*a*b*), ImageTooLarge above ``max_pixels``.
    """
    picture = _open(data)
    header = picture.header
    if header.width * header.height > max_pixels:
        raise ImageTooLarge(
            f"the picture is {header.width}x{header.height} = {header.width * header.height} pixels; "
            f"the limit is {max_pixels} pixels"
        )
    try:
        pixels = picture.pixels(max_pixels)
    except ImageError:
        raise
    except Exception as error:  # whatever a codec raises, the cause is the data
        raise UnreadableImage(f"the {header.format} data is truncated or corrupt") from error
    return np.ascontiguousarray(upright(pixels, picture.orientation))


def exif_orientation(data: bytes) -> int:
    """How the camera was held by a file's EXIF, 1 (upright, also where it says nothing) to 8.

    1 for TIFF and HEIC too, which every library turns by itself. Raises as ``read_header``.
    """
    picture = _open(data)
    return 1 if isinstance(picture, TiffPicture) else picture.orientation


def _open(data: bytes) -> Picture:
    """A picture whose header is read and whose pixels are not."""
    if not data:
        raise UnreadableImage("the picture is empty (0 bytes)")
    name, reader = _recognise(data)
    try:
        picture = reader(data)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageTooLarge("the picture's header states more pixels than can be read") from error
    except Exception as error:
        raise UnreadableImage(f"the {name} header is truncated, corrupt or of a kind that is not read here") from error
    if picture.header.width < 1 or picture.header.height < 1:
        raise UnreadableImage(
            f"the picture's header states an empty size, {picture.header.width}x{picture.header.height}"
        )
    return picture


def _recognise(data: bytes) -> tuple[str, Callable[[bytes], Picture]]:
    for name, signature, reader in _READERS:
        if signature.match(data):
            return name, reader
    raise UnsupportedFormat("the data is not a JPEG, PNG, WebP, AVIF, HEIC, BMP, TIFF or GIF picture")
