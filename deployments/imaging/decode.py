"""Encoded pictures from strangers become upright RGB arrays, or an error that names what is wrong."""

import re
from dataclasses import dataclass
from io import BytesIO
from typing import ClassVar

import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from numpy.typing import NDArray
from PIL import ExifTags, Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH, TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

MAX_JPEG_SEGMENTS = 2000
MAX_JPEG_SCANS = 100
MAX_RLE_BMP_BYTES = 2 * 1024 * 1024

Pixels = NDArray[np.uint8]


class ImageError(ValueError):
    """A picture that cannot be used; the message is fit for the client, ``code`` for programs."""

    code: ClassVar[str] = "image_error"


class UnreadableImage(ImageError):
    """Empty, truncated or corrupt data."""

    code = "unreadable_image"


class UnsupportedFormat(ImageError):
    """Not one of the formats read here, or a kind of pixel that has no defined RGB value."""

    code = "unsupported_format"


class ImageTooLarge(ImageError):
    """More pixels than the limit allows."""

    code = "image_too_large"


@dataclass(frozen=True)
class ImageHeader:
    """What a file says of itself; an EXIF rotation may yet swap width and height."""

    format: str
    """JPEG, PNG, WEBP, BMP, TIFF or GIF."""
    width: int
    height: int


# Plugins are called directly: Image.open adds a pixel check that depends on a process-wide setting.
# A phone's MPO (several JPEGs in one file) is read as its first JPEG.
_SIGNATURES: tuple[tuple[re.Pattern[bytes], type[ImageFile]], ...] = (
    (re.compile(rb"\xff\xd8\xff"), JpegImageFile),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), PngImageFile),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), WebPImageFile),
    (re.compile(rb"GIF8[79]a"), GifImageFile),
    (re.compile(rb"II[\x2a\x2b]\0|MM\0[\x2a\x2b]"), TiffImageFile),
    (re.compile(rb"BM"), BmpImageFile),
)

# libjpeg's warnings that leave every pixel intact: a few bytes of padding before the end marker,
# and oddities of old encoders' headers.
_HARMLESS_JPEG_WARNING = re.compile(
    r"Corrupt JPEG data: \d extraneous bytes before marker 0xd9"
    r"|Invalid SOS parameters for sequential JPEG"
    r"|Warning: unknown JFIF revision number .*"
    r"|Unknown Adobe color transform code .*"
)

_JPEG_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")


def read_header(data: bytes) -> ImageHeader:
    """Read format and size without decoding a pixel; formats are recognised by content, never by name.

    Raises UnreadableImage, UnsupportedFormat, or ImageTooLarge for sizes beyond what Pillow opens at all.
    """
    return _header(_open(data))


def decode(data: bytes, max_pixels: int) -> Pixels:
    """Decode a JPEG, PNG, WebP, BMP, TIFF or GIF file to upright RGB, uint8 [H, W, 3], C-contiguous.

    The pixel count is checked against ``max_pixels`` from the header, before any pixel is decoded. EXIF orientation is
    applied; alpha is composited on white; 16-bit samples keep their high byte; of several frames or pages the first is
    taken; colour profiles are ignored. Safe to call from several threads at once.

    Raises UnreadableImage for empty, truncated or corrupt data, UnsupportedFormat for other formats and for pixels
    without a defined RGB value (floating point, L*a*b*), ImageTooLarge above ``max_pixels``.
    """
    image = _open(data)
    header = _header(image)
    if header.width * header.height > max_pixels:
        raise ImageTooLarge(
            f"the picture is {header.width}x{header.height} = {header.width * header.height} pixels; "
            f"the limit is {max_pixels} pixels"
        )
    _check_decoding_cost(image, len(data), max_pixels)
    try:
        rgb = _decode_jpeg(data, image.mode) if header.format == "JPEG" else _decode_with_pillow(image, data)
    except ImageError:
        raise
    except Exception as error:  # whatever a codec raises, the cause is the data
        raise UnreadableImage(f"the {header.format} data is truncated or corrupt") from error
    return np.ascontiguousarray(upright(rgb, _orientation(image)))


def exif_orientation(data: bytes) -> int:
    """How the camera was held by a file's EXIF, 1 (upright, also where it says nothing) to 8.

    1 for TIFF too, which every library turns by itself. Raises as ``read_header``.
    """
    image = _open(data)
    return 1 if isinstance(image, TiffImageFile) else _orientation(image)


def _open(data: bytes) -> ImageFile:
    """A lazily opened picture: header parsed, pixels not."""
    if not data:
        raise UnreadableImage("the picture is empty (0 bytes)")
    plugin = next((plugin for signature, plugin in _SIGNATURES if signature.match(data)), None)
    if plugin is None:
        raise UnsupportedFormat("the data is not a JPEG, PNG, WebP, BMP, TIFF or GIF picture")
    try:
        if plugin is JpegImageFile:
            _check_jpeg_structure(data)
        return plugin(BytesIO(data))
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageTooLarge("the picture's header states more pixels than can be read") from error
    except Exception as error:
        raise UnreadableImage(
            f"the {plugin.format} header is truncated, corrupt or of a kind that is not read here"
        ) from error


def _header(image: ImageFile) -> ImageHeader:
    width, height = image.size
    if width < 1 or height < 1:
        raise UnreadableImage(f"the picture's header states an empty size, {width}x{height}")
    return ImageHeader(str(image.format), width, height)


def _check_jpeg_structure(data: bytes) -> None:
    """Walk the markers up to the end of the (first) picture.

    Each scan of a progressive JPEG revisits every pixel, so a small file with many scans would run for minutes.
    """
    position, scans = 2, 0
    for _ in range(MAX_JPEG_SEGMENTS):
        match = _JPEG_MARKER.search(data, position)
        if match is None:
            raise UnreadableImage("the JPEG data is truncated: it ends before its end-of-image marker")
        marker, position = match[1][0], match.end()
        if marker == 0xD9:
            return
        if marker not in (0x01, 0xD8):
            position += int.from_bytes(data[position : position + 2])
        scans += marker == 0xDA
        if scans > MAX_JPEG_SCANS:
            raise UnreadableImage(f"the JPEG has more than {MAX_JPEG_SCANS} scans")
    raise UnreadableImage(f"the JPEG has more than {MAX_JPEG_SEGMENTS} segments")


def _check_decoding_cost(image: ImageFile, size: int, max_pixels: int) -> None:
    """Bound what the pixel count does not: the memory of a TIFF's tiles, the time of a BMP's runs."""
    if isinstance(image, TiffImageFile):
        width, height = (_tag(image, tag) for tag in (TILEWIDTH, TILELENGTH))
        if width * height > max_pixels:
            raise ImageTooLarge(f"the TIFF's tiles are {width}x{height} pixels; the limit is {max_pixels} pixels")
    # Pillow expands these runs in Python, about 1.5 MB a second.
    if image.tile and image.tile[0].codec_name == "bmp_rle" and size > MAX_RLE_BMP_BYTES:
        raise UnsupportedFormat(f"run-length-encoded BMP files are read up to {MAX_RLE_BMP_BYTES} bytes")


def _tag(image: TiffImageFile, tag: int) -> int:
    value = image.tag_v2.get(tag, 0)
    return value if isinstance(value, int) else 0


def _decode_jpeg(data: bytes, mode: str) -> Pixels:
    """Decode strictly: libjpeg fills what damaged data does not give with grey and only warns of it."""
    colorspace = "CMYK" if mode == "CMYK" else "RGB"
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(data, colorspace)
    except ValueError as error:
        if not _HARMLESS_JPEG_WARNING.fullmatch(str(error)):
            raise
        pixels = simplejpeg.decode_jpeg(data, colorspace, strict=False)
    if colorspace == "CMYK":  # stored inverted, as Adobe does
        ink = pixels.astype(np.uint16)
        pixels = ((ink[..., :3] * ink[..., 3:] + 127) // 255).astype(np.uint8)
    return pixels


def _decode_with_pillow(image: ImageFile, data: bytes) -> Pixels:
    if isinstance(image, PngImageFile):
        PngImageFile(BytesIO(data)).verify()  # decoding skips the pixel data's checksums
    image.load()
    if image.mode.startswith("I"):
        return _from_integers(image)
    if image.mode in ("F", "LAB", "HSV"):
        raise UnsupportedFormat(
            f"{image.format} pixels of kind {image.mode} are not read; save as 8 or 16 bits a channel"
        )
    if image.has_transparency_data or image.mode in ("PA", "La", "RGBa"):
        rgba = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(rgba, mask=rgba.getchannel("A"))
        return np.array(white)
    return np.array(image.convert("RGB"))


def _from_integers(image: ImageFile) -> Pixels:
    """Grey of 9 to 16 bits, from integer pixels that may be wider."""
    samples = np.asarray(image)
    if samples.dtype.itemsize > 2 and (samples.min() < 0 or samples.max() > 0xFFFF):
        raise UnsupportedFormat(f"the {image.format} has integer pixels outside 0 to 65535; save as 8 or 16 bits")
    bits, inverted = 16, False
    if isinstance(image, TiffImageFile):
        bits = 12 if image.tag_v2.get(258) == (12,) else 16
        inverted = image.tag_v2.get(262) == 0
    grey = (samples >> (bits - 8)).astype(np.uint8)
    if inverted:
        grey = 255 - grey
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[samples == transparent] = 255
    return np.repeat(grey[..., None], 3, axis=2)


def _orientation(image: ImageFile) -> int:
    """EXIF orientation, 1 to 8; a picture with broken EXIF is still a picture, taken as upright."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) else 1


def upright(image: Pixels, orientation: int) -> Pixels:
    """Undo the camera's rotation of [H, W] or [H, W, 3], EXIF tag 0x0112: 2 and 4 mirror, 3 turns, 5 to 8 transpose."""
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return image
