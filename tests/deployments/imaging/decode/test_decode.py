from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image
from skimage.data import astronaut

from deployments.imaging.decode import (
    ImageError,
    ImageHeader,
    ImageTooLarge,
    UnreadableImage,
    UnsupportedFormat,
    decode,
    read_header,
)
from tests.deployments.imaging.decode.files import MANY, close, encode
from tests.photos import SHARED

PHOTO: NDArray[np.uint8] = astronaut()[:120, :160].copy()
FAMILY = SHARED / "photos" / "family_mask.jpg"


FILES = {
    "jpeg": encode(PHOTO, "JPEG", quality=95, subsampling=0),
    "jpeg_progressive": encode(PHOTO, "JPEG", quality=95, progressive=True),
    "mpo": encode(PHOTO, "MPO", quality=95, save_all=True, append_images=[Image.new("RGB", (160, 120))]),
    "png": encode(PHOTO, "PNG"),
    "webp": encode(PHOTO, "WEBP", lossless=True),
    "webp_lossy": encode(PHOTO, "WEBP", quality=95),
    "bmp": encode(PHOTO, "BMP"),
    "tiff": encode(PHOTO, "TIFF"),
    "tiff_lzw": encode(PHOTO, "TIFF", compression="tiff_lzw"),
    "tiff_deflate": encode(PHOTO, "TIFF", compression="tiff_adobe_deflate"),
    "gif": encode(Image.fromarray(PHOTO).quantize(256), "GIF"),
}


@pytest.mark.parametrize("name", FILES)
def test_every_format(name: str) -> None:
    kind = "JPEG" if name == "mpo" else name.split("_")[0].upper()
    assert read_header(FILES[name]) == ImageHeader(kind, width=160, height=120)
    image = decode(FILES[name], MANY)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert close(image, PHOTO, 5)
    if name in ("png", "webp", "bmp", "tiff", "tiff_lzw", "tiff_deflate"):
        np.testing.assert_array_equal(image, PHOTO)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright(format: str, orientation: int) -> None:
    undone: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, 1),
    }
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image = decode(encode(PHOTO, format, exif=exif, quality=95), MANY)
    assert image.flags.c_contiguous
    assert close(image, undone[orientation](PHOTO), 6)


@pytest.mark.parametrize("exif", [b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"])
def test_broken_exif_is_taken_as_upright(exif: bytes) -> None:
    assert close(decode(encode(PHOTO, "JPEG", exif=exif), MANY), PHOTO, 6)


def test_grey() -> None:
    grey = Image.fromarray(PHOTO).convert("L")
    expected = np.repeat(np.asarray(grey)[..., None], 3, axis=2)
    np.testing.assert_array_equal(decode(encode(grey, "PNG"), MANY), expected)
    assert close(decode(encode(grey, "JPEG", quality=95), MANY), expected, 3)


def test_one_bit() -> None:
    bits = Image.fromarray(PHOTO).convert("1")
    expected = np.repeat(np.asarray(bits.convert("L"))[..., None], 3, axis=2)
    for format in ("PNG", "BMP", "TIFF"):
        np.testing.assert_array_equal(decode(encode(bits, format), MANY), expected)


@pytest.mark.parametrize(
    ("mode", "pixels"),
    [("RGBA", [(10, 20, 30, 255), (0, 0, 0, 0), (0, 100, 200, 128)]), ("LA", [(40, 255), (0, 0), (0, 128)])],
)
def test_alpha_is_composited_on_white(mode: str, pixels: list[tuple[int, ...]]) -> None:
    image = Image.new(mode, (3, 1))
    image.putdata(pixels)
    first, second, third = decode(encode(image, "PNG"), MANY)[0].tolist()
    assert first == ([10, 20, 30] if mode == "RGBA" else [40, 40, 40])
    assert second == [255, 255, 255]
    assert third == ([127, 177, 227] if mode == "RGBA" else [127, 127, 127])


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_transparent_palette_entry_is_white(format: str) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([200, 0, 0, 0, 0, 200])
    image.putdata([0, 1])
    assert decode(encode(image, format, transparency=1), MANY)[0].tolist() == [[200, 0, 0], [255, 255, 255]]


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    samples = np.array([[0, 255, 256, 0x1234, 0x80FF, 0xFFFF]], np.uint16)
    expected = [[v >> 8] * 3 for v in samples[0].tolist()]
    assert decode(encode(samples, "PNG"), MANY)[0].tolist() == expected
    assert decode(encode(samples, "TIFF"), MANY)[0].tolist() == expected
    assert decode(encode(samples.astype(np.int32), "TIFF"), MANY)[0].tolist() == expected


def test_sixteen_bit_colour() -> None:
    samples = np.array([[[0x1234, 0x80FF, 0xFFFF], [1, 0x0100, 0xFF00]]], np.uint16)
    expected = (samples >> 8).astype(np.uint8)
    for extension in (".png", ".tiff"):
        _, data = cv2.imencode(extension, samples[..., ::-1])
        np.testing.assert_array_equal(decode(data.tobytes(), MANY), expected)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "TIFF", "PNG"])
def test_first_frame(format: str) -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue")]
    data = encode(frames[0], format, save_all=True, append_images=frames[1:])
    red, green, blue = decode(data, MANY)[3, 4].tolist()
    assert (red > 240, green < 15, blue < 15) == (True, True, True)


def test_floating_point_is_refused_clearly() -> None:
    with pytest.raises(UnsupportedFormat, match="8 or 16 bits"):
        decode(encode(np.ones((4, 4), np.float32), "TIFF"), MANY)
    with pytest.raises(UnsupportedFormat, match="0 to 65535"):
        decode(encode(np.full((4, 4), 70_000, np.int32), "TIFF"), MANY)


@pytest.mark.parametrize("data", [b"hello, world", b"<svg/>", b"%PDF-1.7", b"\0" * 100, b"\xff", b"P6 1 1 255 abc"])
def test_other_data_is_unsupported(data: bytes) -> None:
    for function in (read_header, lambda data: decode(data, MANY)):
        with pytest.raises(UnsupportedFormat, match="not a JPEG, PNG, WebP, AVIF, HEIC, BMP, TIFF or GIF") as refused:
            function(data)
        assert refused.value.code == "unsupported_format"


def test_empty_data() -> None:
    with pytest.raises(UnreadableImage, match="empty") as refused:
        decode(b"", MANY)
    assert refused.value.code == "unreadable_image"


@pytest.mark.parametrize("name", FILES)
def test_truncated_anywhere_is_an_error(name: str) -> None:
    data = FILES[name]
    end = data.index(b"\xff\xd9", len(data) // 4) if name == "mpo" else len(data)
    if name.startswith("tiff"):  # the directory stands at one end; what follows the pixels may be spare
        end = len(data) * 9 // 10
    cuts = sorted({1, 5, 20, *range(30, end - 8, max(1, end // 60)), end * 99 // 100})
    for cut in cuts:
        with pytest.raises(ImageError):
            decode(data[:cut], MANY)


@pytest.mark.parametrize("name", ["jpeg", "jpeg_progressive"])
def test_jpeg_cut_short_but_closed_is_not_filled_with_grey(name: str) -> None:
    data = FILES[name]
    for cut in range(len(data) // 4, len(data) - 40, len(data) // 20):
        with pytest.raises(UnreadableImage, match="truncated or corrupt"):
            decode(data[:cut] + b"\xff\xd9", MANY)


@pytest.mark.parametrize("name", ["jpeg", "png"])
def test_overwritten_middle_is_an_error(name: str) -> None:
    data = bytearray(FILES[name])
    middle = len(data) // 2
    data[middle : middle + 200] = np.random.default_rng(0).integers(0, 256, 200, dtype=np.uint8).tobytes()
    with pytest.raises(UnreadableImage):
        decode(bytes(data), MANY)


def test_one_wrong_bit_in_png_pixels_is_an_error() -> None:
    data = bytearray(encode(PHOTO, "PNG", compress_level=0))
    data[len(data) // 2] ^= 1
    with pytest.raises(UnreadableImage):
        decode(bytes(data), MANY)


def test_limit_is_inclusive() -> None:
    assert decode(FILES["png"], 160 * 120).shape == (120, 160, 3)
    for data in FILES.values():
        with pytest.raises(ImageTooLarge, match="160x120"):
            decode(data, 160 * 120 - 1)


def test_messages_show_nothing_of_the_data() -> None:
    data = FILES["png"][:200]
    with pytest.raises(UnreadableImage) as refused:
        decode(data, MANY)
    assert str(refused.value) == "the PNG data is truncated or corrupt"


def test_many_threads_at_once() -> None:
    names = list(FILES) * 8
    alone = {name: decode(data, MANY) for name, data in FILES.items()}
    with ThreadPoolExecutor(8) as pool:
        for name, image in zip(names, pool.map(lambda name: decode(FILES[name], MANY), names), strict=True):
            np.testing.assert_array_equal(image, alone[name])


@pytest.mark.skipif(not FAMILY.exists(), reason="needs ../shared/photos")
def test_photo_as_pillow_reads_it() -> None:
    with Image.open(FAMILY) as image:
        np.testing.assert_array_equal(decode(FAMILY.read_bytes(), MANY), np.asarray(image.convert("RGB")))
