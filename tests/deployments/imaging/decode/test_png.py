import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from deployments.imaging.decode import UnreadableImage, UnsupportedFormat, decode, read_header
from tests.deployments.imaging.decode.files import MANY, as_pillow, encode, png, png_chunk, png_with
from tests.photos import astronaut

PHOTO: NDArray[np.uint8] = astronaut()[60:108, 160:224].copy()
PNG = encode(PHOTO, "PNG")
FAST = encode(PHOTO, "PNG", compress_level=0)

ANCILLARY = {
    "wrong checksum": png_chunk(b"gAMA", b"\0\0\xb1\x8f")[:-1] + b"?",
    "large profile": png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(3_000_000))),
    "profile that is none": png_chunk(b"iCCP", b"icc\0\0not deflate"),
    "large text": png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(3_000_000))),
    "large international text": png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"a" * 3_000_000)),
    "text that is none": png_chunk(b"zTXt", b""),
    "short density": png_chunk(b"pHYs", b"\0\0\0\1"),
    "empty sRGB": png_chunk(b"sRGB", b""),
    "broken EXIF": png_chunk(b"eXIf", b"MM\0\x2a\xff\xff\xff\xff"),
    "private": png_chunk(b"prVt", bytes(1000)),
    "many": png_chunk(b"tEXt", b"Comment\0many") * 5000,
}


@pytest.mark.parametrize("name", ANCILLARY)
def test_ancillary_chunks_never_change_the_picture_wherever_they_stand(name: str) -> None:
    chunk = ANCILLARY[name]
    for changed in (png_with(PNG, chunk), PNG[:-12] + chunk + PNG[-12:]):
        np.testing.assert_array_equal(decode(changed, MANY), PHOTO)
    wrong = bytearray(png_with(FAST, chunk))
    wrong[-len(FAST) // 2] ^= 1
    with pytest.raises(UnreadableImage):
        decode(bytes(wrong), MANY)


def test_compressed_text_is_not_expanded() -> None:
    bomb = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000), 9))
    tracemalloc.start()
    try:
        assert decode(png(1, 1, 8, 0, b"\0\7", bomb), MANY).tolist() == [[[7, 7, 7]]]
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_of_an_animation_the_still_picture_is_taken() -> None:
    frames = [Image.fromarray(PHOTO), Image.new("RGB", (64, 48))]
    animated = encode(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert b"acTL" in animated
    np.testing.assert_array_equal(decode(animated, MANY), PHOTO)
    with pytest.raises(UnreadableImage, match="animation"):
        decode(png_with(PNG, png_chunk(b"acTL", b"abc")), MANY)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (PNG[:-12], "truncated"),
        (PNG[:-12] + b"\0\0\0\0IE", "truncated"),
        (PNG[:33] + PNG[-12:], "no picture"),
        (PNG[:8] + PNG[33:], "does not start with its header"),
        (png_with(PNG, PNG[8:33]), "header is corrupt"),
        (png_with(PNG, png_chunk(b"NEWp", b"?")), "critical chunk"),
        (png_with(PNG, png_chunk(b"tIME", b"") * 100_001), "more than 100000 chunks"),
        (png_with(PNG, png_chunk(b"PLTE", b"abc")[:-1] + b"?"), "corrupt"),
    ],
)
def test_what_pixels_depend_on_is_checked(data: bytes, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        read_header(data)


def test_ios_png_is_named() -> None:
    with pytest.raises(UnsupportedFormat, match="iOS"):
        decode(PNG[:8] + png_chunk(b"CgBI", b"\0\0\0\2") + PNG[8:], MANY)


def grey(depth: int, rows: bytes, width: int, key: int) -> list[int]:
    image = decode(png(width, 1, depth, 0, b"\0" + rows, png_chunk(b"tRNS", struct.pack(">H", key))), MANY)
    assert (image == image[..., :1]).all()
    return [int(value) for value in image[0, :, 0]]


def test_transparent_grey_is_white() -> None:
    assert grey(1, b"\x40", 2, 0) == [255, 255]
    assert grey(1, b"\x40", 2, 1) == [0, 255]
    assert grey(2, b"\x1b", 4, 1) == [0, 255, 170, 255]
    assert grey(4, b"\x56\x0f", 4, 5) == [255, 102, 0, 255]
    assert grey(8, bytes([7, 90]), 2, 7) == [255, 90]
    assert grey(16, struct.pack(">HHH", 700, 701, 0x8001), 3, 700) == [255, 2, 0x80]


def test_transparent_16_bit_colour_is_compared_by_all_its_bits() -> None:
    pixels = [(0x1234, 0x1234, 0x1234), (0x1235, 0x1234, 0x1234), (0x4444, 0x4444, 0x4444), (0x34FF, 0x34FF, 0x34FF)]
    rows = b"\0" + b"".join(struct.pack(">HHH", *pixel) for pixel in pixels)

    def reds(key: int) -> list[int]:
        chunk = png_chunk(b"tRNS", struct.pack(">HHH", key, key, key))
        return [int(value) for value in decode(png(4, 1, 16, 2, rows, chunk), MANY)[0, :, 0]]

    assert reds(0x1234) == [255, 0x12, 0x44, 0x34]
    assert reds(0x0034) == [0x12, 0x12, 0x44, 0x34]


def test_channels_of_a_transparent_colour_are_not_swapped() -> None:
    rows = b"\0" + struct.pack(">6H", 1, 2, 3, 3, 2, 1)
    deep = png(2, 1, 16, 2, rows, png_chunk(b"tRNS", struct.pack(">3H", 1, 2, 3)))
    assert decode(deep, MANY)[0].tolist() == [[255] * 3, [0, 0, 0]]
    flat = png(2, 1, 8, 2, bytes([0, 1, 2, 3, 3, 2, 1]), png_chunk(b"tRNS", struct.pack(">3H", 1, 2, 3)))
    assert decode(flat, MANY)[0].tolist() == [[255] * 3, [3, 2, 1]]


def test_transparency_of_a_wrong_length_says_nothing() -> None:
    for content in (b"", b"\0", b"\0\1\0\2\0\3"):
        assert decode(png(1, 1, 8, 0, b"\0\1", png_chunk(b"tRNS", content)), MANY).tolist() == [[[1, 1, 1]]]


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16)]),
    st.data(),
)
def test_transparency_by_the_specification(kind: tuple[int, int], data: st.DataObject) -> None:
    colour, depth = kind
    channels = 1 if colour == 0 else 3
    values = st.sampled_from(sorted({0, 1, (1 << depth) // 3, (1 << depth) - 1}))
    colours = st.lists(values, min_size=channels, max_size=channels)
    pixels = data.draw(st.lists(colours, min_size=1, max_size=9))
    key = data.draw(colours)
    bits = "".join(f"{value:0{depth}b}" for pixel in pixels for value in pixel)
    rows = b"\0" + bytes(int(bits[i : i + 8].ljust(8, "0"), 2) for i in range(0, len(bits), 8))
    image = decode(
        png(len(pixels), 1, depth, colour, rows, png_chunk(b"tRNS", struct.pack(f">{channels}H", *key))), MANY
    )
    for pixel, found in zip(pixels, image[0].tolist(), strict=True):
        shown = [value >> 8 if depth == 16 else value * 255 // ((1 << depth) - 1) for value in pixel]
        assert found == ([255] * 3 if pixel == key else shown * (3 // channels))


def test_interlaced_as_pillow_reads_it() -> None:
    """Adam7 of one pixel's height has passes without rows."""
    rows = b"\0\x11\0\x22\0\x33\x44"  # passes 1 (x 0), 4 (x 2) and 6 (x 1, 3) of 4x1
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 1, 8, 0, 0, 0, 1))
    body = png_chunk(b"tRNS", b"\0\x33") + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    data = b"\x89PNG\r\n\x1a\n" + header + body
    assert decode(data, MANY)[0, :, 0].tolist() == [0x11, 255, 0x22, 0x44]
    assert as_pillow(data)[0, :, 0].tolist() == [0x11, 0x33, 0x22, 0x44]
