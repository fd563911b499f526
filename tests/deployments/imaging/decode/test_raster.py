import struct
import warnings
import zlib
from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image, TiffImagePlugin

from deployments.imaging.decode import ImageTooLarge, UnreadableImage, decode, exif_orientation
from tests.deployments.imaging.decode.files import MANY, close, encode, png_chunk, png_with
from tests.photos import astronaut

PHOTO: NDArray[np.uint8] = astronaut()[60:108, 160:224].copy()

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def bmp(version: int, alpha: NDArray[np.uint8]) -> bytes:
    """32 bits with masks, header version 4 or 5."""
    size = {4: 108, 5: 124}[version]
    height, width = alpha.shape
    pixels = np.dstack([PHOTO[::-1, :, ::-1], alpha[::-1]]).tobytes()
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", size, width, height, 1, 32, 3, len(pixels), 2835, 2835, 0, 0) + masks
    start = 14 + size
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + header.ljust(size, b"\0") + pixels


@pytest.mark.parametrize("version", [4, 5])
def test_bmp_whose_alpha_is_all_zero_is_opaque(version: int) -> None:
    alpha = np.zeros(PHOTO.shape[:2], np.uint8)
    np.testing.assert_array_equal(decode(bmp(version, alpha), MANY), PHOTO)
    np.testing.assert_array_equal(decode(bmp(version, alpha + 255), MANY), PHOTO)
    alpha[0, 0] = 255
    expected = np.full_like(PHOTO, 255)
    expected[0, 0] = PHOTO[0, 0]
    np.testing.assert_array_equal(decode(bmp(version, alpha), MANY), expected)


def with_xmp(format: str, orientation: int | None) -> bytes:
    exif = Image.Exif()
    if orientation is not None:
        exif[ExifTags.Base.Orientation] = orientation
    if format == "PNG":
        text = png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)
        return png_with(encode(PHOTO, "PNG", exif=exif), text)
    if format == "TIFF":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[700] = XMP
        if orientation is not None:
            tags[274] = orientation
        return encode(PHOTO, "TIFF", tiffinfo=tags)
    if format == "GIF":
        gif = encode(Image.fromarray(PHOTO).quantize(256), "GIF")
        extension = b"!\xff\x0bXMP DataXMP" + XMP + b"\1" + bytes(range(255, -1, -1)) + b"\0"
        return gif[: 13 + 768] + extension + gif[13 + 768 :]
    return encode(PHOTO, format, exif=exif, xmp=XMP, quality=95)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "GIF"])
def test_orientation_in_xmp_alone_does_not_turn(format: str) -> None:
    data = with_xmp(format, None)
    assert XMP[:30] in data
    assert close(decode(data, MANY), PHOTO, 8)
    assert exif_orientation(data) == 1


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_in_exif_counts_whatever_xmp_says(format: str) -> None:
    data = with_xmp(format, 3)
    assert XMP[:30] in data
    assert close(decode(data, MANY), PHOTO[::-1, ::-1], 8)
    assert exif_orientation(data) == (1 if format == "TIFF" else 3)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_broken_tags_of_a_tiff_are_no_damage(compression: str | None) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in ((34665, 0xFFFFFFF0), (34853, 3), (330, 5)):  # EXIF, GPS, sub-directories
        tags[tag] = value
        tags.tagtype[tag] = 4
    for tag, content in (
        (34675, b"not a profile"),
        (700, b"<not xml"),
        (33723, b"\x1c"),
        (34377, b"8BIM"),
        (65000, b"?"),
    ):
        tags[tag] = content
        tags.tagtype[tag] = 7
    data = encode(PHOTO, "TIFF", compression=compression, tiffinfo=tags)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(decode(data, MANY), PHOTO)


def test_damaged_jpeg_in_a_tiff_is_not_filled_with_grey() -> None:
    data = encode(PHOTO, "TIFF", compression="jpeg", quality=95)
    assert close(decode(data, MANY), PHOTO, 5)
    scan = data.index(b"\xff\xda") + 14
    for start in range(scan, scan + 600, 60):
        damaged = data[:start] + bytes(300) + data[start + 300 :]
        with Image.open(BytesIO(damaged)) as image:
            image.load()  # Pillow does not mind
        with pytest.raises(UnreadableImage):
            decode(damaged, MANY)


def test_tiff_tiles_larger_than_the_picture_are_bounded() -> None:
    pixels = zlib.compress(bytes(4096))
    tags = [(256, 64), (257, 64), (258, 8), (259, 8), (262, 1), (277, 1), (322, 32_768), (323, 32_768), (324, 8)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in [*tags, (325, len(pixels))])
    offset = 8 + len(pixels) + len(pixels) % 2
    body = pixels.ljust(offset - 8, b"\0") + struct.pack("<H", len(tags) + 1) + entries + bytes(4)
    with pytest.raises(ImageTooLarge, match="tiles are 32768x32768"):
        decode(b"II*\0" + struct.pack("<I", offset) + body, MANY)
