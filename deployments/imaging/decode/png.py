"""PNG: chunks that pixels depend on are checked and decoded, all others are left out."""

import zlib
from collections.abc import Iterator
from io import BytesIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL.PngImagePlugin import PngImageFile

from deployments.imaging.as_shown import on_white, orientation_of
from deployments.imaging.decode.errors import UnreadableImage, UnsupportedFormat
from deployments.imaging.decode.picture import ImageHeader, Pixels

MAX_CHUNKS = 100_000

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_GREY, _RGB = 0, 2


class PngPicture:
    """A PNG file (of an animated one, its still picture)."""

    def __init__(self, data: bytes) -> None:
        """Walk the chunks; no pixel is decoded. Raises UnreadableImage, UnsupportedFormat."""
        kept = [SIGNATURE]
        header = transparent = exif = None
        has_pixels, after_pixels = False, False
        for kind, content, chunk in _chunks(data):
            if header is None and kind != b"IHDR":
                if kind == b"CgBI":
                    raise UnsupportedFormat("PNG files converted for iOS (with a CgBI chunk) are not read")
                raise UnreadableImage("the PNG data is corrupt: it does not start with its header")
            if kind == b"eXIf":
                exif = content
            elif kind == b"acTL":  # whose contents say what the other chunks are
                _check(kind, content, chunk)
                if len(content) != 8:
                    raise UnreadableImage("the PNG data is corrupt: the animation header is not 8 bytes")
            elif kind in _PIXEL_CHUNKS:
                _check(kind, content, chunk)
                if kind == b"IDAT" and after_pixels:
                    raise UnreadableImage("the PNG data is corrupt: its pixel data is not in one piece")
                has_pixels |= kind == b"IDAT"
                if kind == b"IHDR":
                    if header is not None or len(content) != 13:
                        raise UnreadableImage("the PNG header is corrupt")
                    header = content
                if kind == b"tRNS" and header is not None and header[9] in (_GREY, _RGB):
                    transparent = transparent or content  # judged here: Pillow compares scaled samples with it
                else:
                    kept.append(chunk)
            elif not kind[0] & 0x20:
                raise UnreadableImage("the PNG holds a critical chunk of a kind that is not known")
            after_pixels = has_pixels and kind != b"IDAT"
        if header is None or not has_pixels:
            raise UnreadableImage("the PNG holds no picture")
        self.header = ImageHeader("PNG", int.from_bytes(header[:4]), int.from_bytes(header[4:8]))
        self.orientation = orientation_of(exif)
        self._depth, self._colour = header[8], header[9]
        self._data = b"".join(kept)
        self._transparent = transparent

    def pixels(self, max_pixels: int) -> Pixels:
        """Transparent pixels become white, or are composited on it; 16-bit samples keep their high byte."""
        image = PngImageFile(BytesIO(self._data))
        image.load()
        if image.has_transparency_data:
            return on_white(image.convert("RGBA"))
        if image.mode == "I;16":
            rgb = np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., None], 3, axis=2)
        else:
            rgb = np.array(image.convert("RGB"))
        if self._transparent is not None and len(self._transparent) == (2 if self._colour == _GREY else 6):
            rgb[self._is_transparent(image, rgb)] = 255
        return rgb

    def _is_transparent(self, image: PngImageFile, rgb: Pixels) -> NDArray[np.bool_]:
        """Where samples, at the file's own depth, equal those of its tRNS chunk (PNG 3rd edition, 11.3.1.1)."""
        key = np.frombuffer(self._transparent or b"", ">u2") & ((1 << self._depth) - 1)
        if self._depth < 16:
            return np.asarray((rgb == key * (255 // ((1 << self._depth) - 1))).all(axis=2))
        if self._colour == _GREY:
            return np.asarray(np.asarray(image) == key[0])
        samples = cv2.imdecode(np.frombuffer(self._data, np.uint8), cv2.IMREAD_UNCHANGED)  # Pillow has the high bytes
        if samples is None or samples.dtype != np.uint16 or samples.shape != rgb.shape:
            raise UnreadableImage("the PNG data is truncated or corrupt")
        return np.asarray((samples == key[::-1]).all(axis=2))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Kind, content and whole of every chunk up to IEND."""
    position = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        end = position + 12 + int.from_bytes(data[position : position + 4])
        if position + 12 > len(data) or end > len(data):
            raise UnreadableImage("the PNG data is truncated or corrupt")
        kind = data[position + 4 : position + 8]
        yield kind, data[position + 8 : end - 4], data[position:end]
        if kind == b"IEND":
            return
        position = end
    raise UnreadableImage(f"the PNG has more than {MAX_CHUNKS} chunks")


def _check(kind: bytes, content: bytes, chunk: bytes) -> None:
    """Decoders skip the checksums of pixel data."""
    if zlib.crc32(content, zlib.crc32(kind)) != int.from_bytes(chunk[-4:]):
        raise UnreadableImage("the PNG data is truncated or corrupt")
