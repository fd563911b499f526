"""Bytes from strangers: a picture or an ImageError, nothing else, and never more memory than was allowed."""

import struct
import subprocess
import sys
import textwrap
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, features

from deployments.imaging.decode import ImageError, ImageHeader, ImageTooLarge, decode, exif_orientation, read_header
from tests.deployments.imaging.decode.files import MANY, block_jpeg, encode, png, png_chunk, segment
from tests.photos import astronaut

PHOTO: NDArray[np.uint8] = astronaut()[:12, :9].copy()
PALETTE = Image.fromarray(PHOTO).quantize(16)
LIMIT = 100_000

SMALL = {
    **{name: encode(PHOTO, name.upper()) for name in ("jpeg", "png", "webp", "bmp", "tiff")},
    "progressive": encode(PHOTO, "JPEG", progressive=True),
    "restarts": encode(PHOTO, "JPEG", restart_marker_blocks=1),
    "odd_sampling": block_jpeg([(3, 1), (1, 1), (1, 1)], [np.arange(12).reshape(2, 6), *np.ones((2, 2, 2), int)]),
    "cmyk": encode(Image.fromarray(PHOTO).convert("CMYK"), "JPEG"),
    "exif": encode(PHOTO, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"),
    "gif": encode(PALETTE, "GIF"),
    "gif_frames": encode(Image.new("P", (9, 7)), "GIF", save_all=True, append_images=[Image.new("P", (9, 7), 1)]),
    "palette": encode(PALETTE, "PNG", transparency=3),
    "deep": encode(PHOTO[..., 0].astype(np.uint16) * 257, "PNG"),
    "deep_transparent": png(2, 1, 16, 2, b"\0" + bytes(12), png_chunk(b"tRNS", bytes(6))),
    "rgba_webp": encode(Image.fromarray(PHOTO).convert("RGBA"), "WEBP"),
    "lossless_webp": encode(PHOTO, "WEBP", lossless=True),
    "lzw": encode(PHOTO, "TIFF", compression="tiff_lzw"),
    "tiff_jpeg": encode(astronaut()[:16, :16].copy(), "TIFF", compression="jpeg"),
}
if features.check("avif"):
    SMALL["avif"] = encode(PHOTO, "AVIF", speed=10)
    SMALL["rgba_avif"] = encode(Image.fromarray(PHOTO).convert("RGBA"), "AVIF", speed=10)

SIGNATURES = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF\x40\0\0\0WEBPVP8X",
    b"GIF89a",
    b"II*\0",
    b"MM\0+",
    b"BM",
    b"\0\0\0\x14ftypavif",
    b"\0\0\0\x14ftypheic",
)


def picture_or_error(data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = decode(data, LIMIT)
        except ImageError:
            pass
        else:
            assert image.dtype == np.uint8
            assert image.ndim == 3
            assert image.shape[2] == 3
            assert image.flags.c_contiguous
            assert 0 < image.shape[0] * image.shape[1] <= LIMIT
        try:
            assert read_header(data).width > 0
            assert exif_orientation(data) in range(1, 9)
        except ImageError:
            pass


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SIGNATURES), st.binary(max_size=200))
def test_any_bytes_behind_a_signature(signature: bytes, data: bytes) -> None:
    picture_or_error(signature + data)
    picture_or_error(data)


@pytest.mark.parametrize("name", SMALL)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    edits=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), max_size=6),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 7)), max_size=3),
    kept=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_changed_files(
    name: str, edits: list[tuple[float, bytes]], flips: list[tuple[float, int]], kept: float
) -> None:
    data = bytearray(SMALL[name])
    for place, replacement in edits:
        start = int(place * (len(data) - 1))
        data[start : start + len(replacement)] = replacement
    for place, bit in flips:
        data[int(place * (len(data) - 1))] ^= 1 << bit
    picture_or_error(bytes(data[: int(kept * len(data))]))


def huge_webp() -> bytes:
    data = bytearray(encode(Image.new("RGB", (16, 16)), "WEBP", lossless=True))
    data[21:25] = struct.pack("<I", 16_382 | 16_382 << 14)
    return bytes(data)


def huge_gif() -> bytes:
    data = bytearray(SMALL["gif"])
    data[6:10] = b"\xff\xff\xff\xff"
    return bytes(data)


def huge_jpeg(sampling: bytes) -> bytes:
    frame = struct.pack(">BHHB", 8, 65_500, 65_500, 3) + b"\1" + sampling + b"\0\2\x11\0\3\x11\0"
    return b"\xff\xd8" + segment(0xC0, frame) + segment(0xDA, b"\3\1\0\2\0\3\0\0\x3f\0") + b"\0\xff\xd9"


def huge_tiff(compression: int) -> bytes:
    tags = [
        (256, 60_000),
        (257, 60_000),
        (258, 8),
        (259, compression),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, 60_000),
        (279, 4),
    ]
    return b"II*\0\x0c\0\0\0" + bytes(4) + struct.pack("<H", len(tags)) + b"".join(
        struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags
    ) + bytes(4)  # fmt: skip


def huge_avif() -> bytes:
    stated = b"ispe\0\0\0\0" + struct.pack(">II", 9, 12)
    return SMALL["avif"].replace(stated, b"ispe\0\0\0\0" + struct.pack(">II", 16_000, 16_000))


HUGE = {
    "png": png(20_000, 20_000, 8, 2, b"\0" * 100_000),
    "png of 16 bits": png(20_000, 20_000, 16, 6, b"\0" * 100_000),
    "jpeg": huge_jpeg(b"\x22"),
    "jpeg of odd sampling": huge_jpeg(b"\x31"),
    "webp": huge_webp(),
    "gif": huge_gif(),
    "bmp": b"BM"
    + struct.pack("<IHHIIiiHHIIiiII", 60, 0, 0, 54, 40, 30_000, -30_000, 1, 24, 0, 0, 0, 0, 0, 0)
    + bytes(6),
    "tiff": huge_tiff(1),
    "tiff deflate": huge_tiff(8),
    **({"avif": huge_avif()} if "avif" in SMALL else {}),
}


@pytest.mark.parametrize("name", HUGE)
def test_huge_claims_are_refused_from_the_header(name: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ImageTooLarge) as refused:
            decode(HUGE[name], MANY)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert refused.value.code == "image_too_large"


def test_the_refusal_names_size_and_limit() -> None:
    with pytest.raises(ImageTooLarge, match=r"20000x20000 .* 400000000 .* 10000000"):
        decode(HUGE["png"], MANY)
    assert read_header(HUGE["png"]) == ImageHeader("PNG", 20_000, 20_000)


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kB on Linux")
def test_codecs_take_no_memory_for_what_is_refused_and_say_nothing() -> None:
    """In a process of its own, since memory of C libraries shows in its peak alone."""
    bombs = [
        *HUGE.values(),
        SMALL["tiff"].replace(b"\x03\0\x01\0\0\0", b"\x03\0\xff\xff\0\0"),  # Pillow warns of such a tag
        png(1, 1, 8, 0, b"\0\7", png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(90_000_000)))),
    ]
    code = """
        import resource, sys
        from deployments.imaging.decode import ImageError, decode
        data = sys.stdin.buffer.read()
        sizes = [int(size) for size in sys.argv[1:]]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for size in sizes:
            part, data = data[:size], data[size:]
            try:
                decode(part, 10_000_000)
            except ImageError:
                pass
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *(str(len(bomb)) for bomb in bombs)],
        input=b"".join(bombs),
        capture_output=True,
        check=True,
    )
    assert int(run.stdout) < 30_000
    assert run.stderr == b""
