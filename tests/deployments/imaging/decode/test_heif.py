import struct
import sys
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, features

from deployments.imaging.decode import (
    ImageError,
    ImageHeader,
    ImageTooLarge,
    UnreadableImage,
    UnsupportedFormat,
    decode,
    exif_orientation,
    read_header,
)
from deployments.imaging.decode.av1 import measure_av1
from deployments.imaging.decode.isobmff import read_container
from tests.deployments.imaging.decode.files import MANY, close, encode
from tests.photos import astronaut

if not features.check("avif"):
    pytest.skip("this Pillow has no AVIF", allow_module_level=True)

PHOTO: NDArray[np.uint8] = astronaut()[60:124, 160:240].copy()
TURNED = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"


def avif(image: NDArray[np.uint8] = PHOTO, **options: Any) -> bytes:
    return encode(image, "AVIF", quality=90, speed=9, **options)


def heic(image: NDArray[np.uint8] = PHOTO, **options: Any) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif", reason="needs the extra heic")
    buffer = BytesIO()
    pillow_heif.from_pillow(Image.fromarray(image)).save(buffer, format="HEIF", quality=90, **options)
    return buffer.getvalue()


def test_avif() -> None:
    data = avif()
    assert read_header(data) == ImageHeader("AVIF", 80, 64)
    assert close(decode(data, MANY), PHOTO, 5)
    with pytest.raises(ImageTooLarge, match="80x64"):
        decode(data, 80 * 64 - 1)


def test_heic() -> None:
    data = heic()
    assert read_header(data) == ImageHeader("HEIF", 80, 64)
    assert close(decode(data, MANY), PHOTO, 5)
    with pytest.raises(ImageTooLarge, match="80x64"):
        decode(data, 80 * 64 - 1)


def test_avif_alpha_is_composited_on_white() -> None:
    alpha = np.zeros((64, 80, 1), np.uint8)
    alpha[:, :40] = 255
    image = decode(avif(np.concatenate([PHOTO, alpha], axis=2)), MANY)
    assert close(image[:, :36], PHOTO[:, :36], 6)
    assert (image[:, 44:] > 250).all()


@pytest.mark.parametrize("make", [avif, heic])
def test_the_container_says_how_to_turn(make: Any) -> None:
    """Also where EXIF says otherwise, or its bytes are broken."""
    turned = make(exif=TURNED)
    assert b"irot" in turned
    for data in (turned, turned.replace(b"MM\0*", b"????")):
        assert close(decode(data, MANY), np.rot90(PHOTO, -1), 5)
        assert exif_orientation(data) == (6 if make is avif else 1)
    upright = turned.replace(b"irot\3", b"irot\0")
    assert upright != turned
    assert close(decode(upright, MANY), PHOTO, 5)
    assert exif_orientation(upright) == 1


def test_of_a_sequence_the_still_picture_is_taken() -> None:
    frames = [Image.fromarray(PHOTO), Image.new("RGB", (80, 64)), Image.new("RGB", (80, 64))]
    data = encode(frames[0], "AVIF", save_all=True, append_images=frames[1:], quality=90)
    assert b"moov" in data
    assert close(decode(data, MANY), PHOTO, 5)


def test_frames_larger_than_stated_are_refused() -> None:
    data = avif(np.zeros((64, 800, 3), np.uint8))
    stated = b"ispe\0\0\0\0" + struct.pack(">II", 800, 64)
    assert stated in data
    with pytest.raises(UnreadableImage, match="larger than it states"):
        decode(data.replace(stated, b"ispe\0\0\0\0" + struct.pack(">II", 64, 64)), MANY)
    data = heic(np.zeros((64, 800, 3), np.uint8))
    assert stated in data
    with pytest.raises(ImageError):
        decode(data.replace(stated, b"ispe\0\0\0\0" + struct.pack(">II", 64, 64)), 64 * 64)


def with_content(data: bytes, more: bytes) -> bytes:
    """The file's one picture, followed by more of the bitstream; mdat stands last."""
    ((start, end),) = read_container(data).primary.content
    length, mdat = struct.pack(">I", end - start), data.rindex(b"mdat") - 4
    locations = data.index(b"iloc")
    at = data.index(length, locations)
    size = struct.pack(">I", int.from_bytes(data[mdat : mdat + 4]) + len(more))
    longer = data[:at] + struct.pack(">I", end - start + len(more)) + data[at + 4 : mdat] + size
    return longer + data[mdat + 4 : end] + more + data[end:]


@pytest.mark.parametrize("make", [avif, heic])
def test_very_many_frames_are_refused(make: Any) -> None:
    data = make()
    ((start, end),) = read_container(data).primary.content
    assert close(decode(with_content(data, b""), MANY), PHOTO, 5)
    with pytest.raises(UnreadableImage, match="more than 16 frames"):
        decode(with_content(data, data[start:end] * 20), MANY)


def test_the_sequence_header_is_that_of_the_file() -> None:
    for side in (16, 100, 300):
        data = avif(np.zeros((side, 2 * side, 3), np.uint8))
        frames = measure_av1(read_container(data).primary.data(data))
        assert (frames.width, frames.height, frames.count) == (2 * side, side, 1)


def test_heic_without_pillow_heif_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    data = heic()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for function in (read_header, lambda data: decode(data, MANY)):
        with pytest.raises(UnsupportedFormat, match=r"maskgraph\[heic\].*save as JPEG"):
            function(data)


def test_other_heif_is_named() -> None:
    data = avif().replace(b"av01", b"jpeg")
    with pytest.raises(UnsupportedFormat, match="AVIF and HEIC"):
        decode(data, MANY)
    with pytest.raises(UnsupportedFormat, match="no still picture"):
        decode(b"\0\0\0\x10ftypavis\0\0\0\0\0\0\0\x08moov", MANY)


@pytest.mark.parametrize("make", [avif, heic])
def test_truncated_anywhere_is_an_error(make: Any) -> None:
    data = make()
    for cut in range(1, len(data), 1 + len(data) // 150):
        with pytest.raises(ImageError):
            decode(data[:cut], MANY)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80))
def test_any_bitstream_is_measured_or_refused(data: bytes) -> None:
    try:
        frames = measure_av1(data)
    except UnreadableImage:
        return
    assert frames.width >= 0
    assert frames.count <= len(data)
