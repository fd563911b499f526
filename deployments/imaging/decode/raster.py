"""WebP, BMP, TIFF and GIF, decoded by Pillow.

Pillow's plugins are called directly: Image.open adds a pixel check that depends on a process-wide setting.
"""

from io import BytesIO

import numpy as np
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    JPEGTABLES,
    PHOTOMETRIC_INTERPRETATION,
    STRIPBYTECOUNTS,
    STRIPOFFSETS,
    TILEBYTECOUNTS,
    TILELENGTH,
    TILEOFFSETS,
    TILEWIDTH,
    TiffImageFile,
)

from deployments.imaging.as_shown import ORIENTATION_TAG, on_white, orientation_of
from deployments.imaging.decode.errors import ImageTooLarge, UnreadableImage, UnsupportedFormat
from deployments.imaging.decode.jpeg import JpegPicture
from deployments.imaging.decode.picture import ImageHeader, Pixels
from deployments.imaging.tags import MAX_NUMBERS, count_numbers

MAX_GIF_PIECES = 100_000
"""Of comments and other metadata before the picture."""
MAX_RLE_BMP_BYTES = 2 * 1024 * 1024
MAX_RLE_BMP_PIXELS = 8_000_000
MAX_JPEG_PIECES = 10_000
"""Strips or tiles of a TIFF, each of which is a JPEG that takes 0.1 ms to look at, however small."""


class RasterPicture:
    """A file that one of Pillow's plugins has opened."""

    def __init__(self, image: ImageFile) -> None:
        self._image = image
        self.header = ImageHeader(str(image.format), *image.size)

    @property
    def orientation(self) -> int:
        return orientation_of(self._image.info.get("exif"))

    def pixels(self, max_pixels: int) -> Pixels:
        self._image.load()
        return to_rgb(self._image)


class GifPicture(RasterPicture):
    """The first frame of a GIF file."""

    def __init__(self, data: bytes) -> None:
        _check_gif_blocks(data)
        super().__init__(GifImageFile(BytesIO(data)))


class BmpPicture(RasterPicture):
    """A BMP file. Screenshots leave the alpha of every pixel at zero and mean opaque."""

    def __init__(self, data: bytes) -> None:
        super().__init__(BmpImageFile(BytesIO(data)))
        self._size = len(data)

    def pixels(self, max_pixels: int) -> Pixels:
        # Pillow expands these runs in Python, about 1.5 MB and, at the ends of short rows, 12 million pixels a second.
        if self._image.tile and self._image.tile[0].codec_name == "bmp_rle":
            width, height = self._image.size
            if self._size > MAX_RLE_BMP_BYTES or width * height > MAX_RLE_BMP_PIXELS:
                raise UnsupportedFormat(
                    f"run-length-encoded BMP files are read up to {MAX_RLE_BMP_BYTES} bytes and "
                    f"{MAX_RLE_BMP_PIXELS} pixels"
                )
        self._image.load()
        if self._image.mode == "RGBA" and self._image.getchannel("A").getextrema() == (0, 0):
            return np.array(self._image.convert("RGB"))
        return to_rgb(self._image)


class _TiffAsStored(TiffImageFile):
    """Pillow turns a TIFF by its EXIF or XMP, and stumbles over broken EXIF on the way."""

    def load_end(self) -> None:
        """Leave the pixels as they are stored."""


class TiffPicture(RasterPicture):
    """The first page of a TIFF file."""

    def __init__(self, data: bytes) -> None:
        if count_numbers(data) > MAX_NUMBERS:
            raise UnreadableImage(f"the TIFF's tags hold more than {MAX_NUMBERS} numbers")
        self._tiff = _TiffAsStored(BytesIO(data))
        self._data = data
        super().__init__(self._tiff)

    @property
    def orientation(self) -> int:
        value = self._tag(ORIENTATION_TAG)
        return value if 1 <= value <= 8 else 1

    def pixels(self, max_pixels: int) -> Pixels:
        width, height = self._tag(TILEWIDTH), self._tag(TILELENGTH)
        if width * height > max_pixels:
            raise ImageTooLarge(f"the TIFF's tiles are {width}x{height} pixels; the limit is {max_pixels} pixels")
        pieces = self._jpeg_pieces() if self._tiff.info.get("compression") == "jpeg" else []
        if len(pieces) > MAX_JPEG_PIECES:
            raise UnsupportedFormat(f"TIFF files of more than {MAX_JPEG_PIECES} JPEG strips or tiles are not read")
        self._tiff.load()
        # libtiff, too, fills damaged JPEG data with grey; it has checked that no strip is larger than it should be.
        tables = self._tiff.tag_v2.get(JPEGTABLES, b"")[2:-2]
        for offset, size in pieces:
            JpegPicture(b"\xff\xd8" + tables + self._data[offset + 2 : offset + size]).pixels(max_pixels)
        if self._tiff.mode.startswith("I"):
            return _grey_of_integers(self._tiff)
        return to_rgb(self._tiff)

    def _jpeg_pieces(self) -> list[tuple[int, int]]:
        """Where in the file each strip or tile stands, and its bytes."""
        tags = self._tiff.tag_v2
        kinds = (TILEOFFSETS, TILEBYTECOUNTS) if TILEOFFSETS in tags else (STRIPOFFSETS, STRIPBYTECOUNTS)
        return list(zip(*(tags[kind] for kind in kinds), strict=True))

    def _tag(self, tag: int) -> int:
        value = self._tiff.tag_v2.get(tag, 0)
        return value if isinstance(value, int) else 0


def _check_gif_blocks(data: bytes) -> None:
    """Raise UnreadableImage where so many pieces of metadata stand before the picture that Pillow takes seconds."""
    place = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    pieces = 0
    while data[place : place + 1] == b"!":
        place += 2
        while size := data[place] if place < len(data) else 0:
            place += 1 + size
            pieces += 1
        place += 1
        pieces += 1
        if pieces > MAX_GIF_PIECES:
            raise UnreadableImage(f"the GIF has more than {MAX_GIF_PIECES} pieces of metadata")


def to_rgb(image: Image.Image) -> Pixels:
    """RGB of a loaded picture; alpha is composited on white."""
    if image.mode in ("F", "LAB", "HSV") or image.mode.startswith("I"):
        raise UnsupportedFormat(
            f"{image.format} pixels of kind {image.mode} are not read; save as 8 or 16 bits a channel"
        )
    if image.has_transparency_data or image.mode in ("PA", "La", "RGBa"):
        return on_white(image.convert("RGBA"))
    return np.array(image.convert("RGB"))


def _grey_of_integers(image: TiffImageFile) -> Pixels:
    """Grey of 9 to 16 bits, from integer pixels that may be wider."""
    samples = np.asarray(image)
    if samples.dtype.itemsize > 2 and (samples.min() < 0 or samples.max() > 0xFFFF):
        raise UnsupportedFormat("the TIFF has integer pixels outside 0 to 65535; save as 8 or 16 bits")
    bits = 12 if image.tag_v2.get(BITSPERSAMPLE) == (12,) else 16
    grey = (samples >> (bits - 8)).astype(np.uint8)
    if image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0:
        grey = 255 - grey
    return np.repeat(grey[..., None], 3, axis=2)
