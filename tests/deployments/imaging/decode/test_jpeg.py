import base64
import re
from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from deployments.imaging.decode import ImageError, UnreadableImage, UnsupportedFormat, decode
from tests.deployments.imaging.decode.files import (
    MANY,
    as_pillow,
    block_jpeg,
    close,
    encode,
    jpeg_with,
    jpeg_without,
    segment,
)
from tests.photos import astronaut

PHOTO: NDArray[np.uint8] = astronaut()[60:180, 160:320].copy()
JPEG = encode(PHOTO, "JPEG", quality=95)
PROGRESSIVE = encode(PHOTO, "JPEG", quality=95, progressive=True)
CMYK = encode(Image.fromarray(PHOTO).convert("CMYK"), "JPEG", quality=95)


def damaged(data: bytes) -> bytes:
    """Zeros in the middle of the last scan."""
    middle = (data.rindex(b"\xff\xda") + len(data)) // 2
    return data[:middle] + bytes(300) + data[middle + 300 :]


def icc(number: int, count: int) -> bytes:
    return segment(0xE2, b"ICC_PROFILE\0" + bytes((number, count)) + bytes(200))


METADATA = {
    "icc part 0": [icc(0, 1)],
    "icc part 2 of 1": [icc(2, 1)],
    "icc part 1 of 2 alone": [icc(1, 2)],
    "icc part twice": [icc(1, 1), icc(1, 1)],
    "icc empty": [segment(0xE2, b"ICC_PROFILE\0\1\1")],
    "icc without a number": [segment(0xE2, b"ICC_PROFILE\0")],
    "photoshop cut": [segment(0xED, b"Photoshop 3.0\x008BIM\4\4")],
    "adobe cut": [segment(0xEE, b"Adobe")],
    "xmp": [segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<not xml")],
    "exif that is none": [segment(0xE1, b"Exif\0\0" + bytes(range(250)) * 40)],
    "second exif": [segment(0xE1, b"Exif\0\0"), segment(0xE1, b"Exif\0\0MM")],
    "large": [segment(0xE2, bytes(65_000))] * 40,
    "unknown": [segment(0xEB, b"JP\0\1"), segment(0xEF, b"?"), segment(0xFE, b"\xff\xd8\xff\xd9")],
    "second jfif": [segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\0\0"), segment(0xE0, b"JFIF\0\1\2"), segment(0xE0, b"JFXX\0")],
    "shorter than it says": [segment(0xE5, bytes(30)) + b"left over"],
}


@pytest.mark.parametrize("name", METADATA)
def test_metadata_never_changes_the_picture_wherever_it_stands(name: str) -> None:
    segments = METADATA[name]
    for data in (JPEG, PROGRESSIVE):
        expected = decode(data, MANY)
        tables = data.index(b"\xff\xc4")
        for changed in (jpeg_with(data, *segments), data[:tables] + b"".join(segments) + data[tables:]):
            np.testing.assert_array_equal(decode(changed, MANY), expected)
            with pytest.raises(UnreadableImage):
                decode(damaged(changed), MANY)
    last_scan = PROGRESSIVE.rindex(b"\xff\xda")
    between = PROGRESSIVE[:last_scan] + b"".join(segments) + PROGRESSIVE[last_scan:]
    np.testing.assert_array_equal(decode(between, MANY), decode(PROGRESSIVE, MANY))


@pytest.mark.parametrize("version", [b"\0\0", b"\0\2", b"\2\1", b"\1\x09"])
def test_jfif_versions(version: bytes) -> None:
    odd = JPEG.replace(b"JFIF\0\1\1", b"JFIF\0" + version)
    np.testing.assert_array_equal(decode(odd, MANY), decode(JPEG, MANY))


@pytest.mark.parametrize("transform", [2, 3, 7, 255])
def test_unknown_adobe_transform_is_ycbcr_or_ycck(transform: int) -> None:
    plain = jpeg_without(JPEG, 0xE0)
    odd = jpeg_with(plain, segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform])))
    np.testing.assert_array_equal(decode(odd, MANY), decode(JPEG, MANY))
    with pytest.raises(UnreadableImage):
        decode(damaged(odd), MANY)
    ycck = CMYK.replace(b"Adobe\0\x64\0\0\0\0\0", b"Adobe\0\x64\0\0\0\0" + bytes([transform]))
    assert ycck != CMYK
    assert int(np.abs(decode(ycck, MANY).astype(int) - as_pillow(ycck)).max()) <= 1


def test_adobe_transform_0_is_rgb() -> None:
    data = jpeg_with(jpeg_without(JPEG, 0xE0), segment(0xEE, b"Adobe\0\x64\0\0\0\0\0"))
    np.testing.assert_array_equal(decode(data, MANY), as_pillow(data))
    assert not close(decode(data, MANY), PHOTO, 20)


def test_cmyk_as_pillow_reads_it() -> None:
    for data in (CMYK, jpeg_without(CMYK, 0xEE)):
        assert int(np.abs(decode(data, MANY).astype(int) - as_pillow(data)).max()) <= 1
    assert close(decode(CMYK, MANY), PHOTO, 4)


def test_scan_header_of_old_encoders_hides_no_damage() -> None:
    start = JPEG.index(b"\xff\xda")
    odd = JPEG[: start + 12] + b"\0" + JPEG[start + 13 :]
    assert odd != JPEG
    np.testing.assert_array_equal(decode(odd, MANY), decode(JPEG, MANY))
    with pytest.raises(UnreadableImage, match="truncated or corrupt"):
        decode(damaged(odd), MANY)


def with_zeros_before_restarts(data: bytes, counts: Sequence[int]) -> bytes:
    """Each restart marker preceded by so many zero bytes more, in turn."""
    turn = iter(range(10**6))
    return re.sub(
        rb"\xff[\xd0-\xd7]", lambda marker: bytes(counts[next(turn) % len(counts)]) + marker[0], data, flags=re.DOTALL
    )


@pytest.mark.parametrize("counts", [[2], [1], [0, 0, 2], [1, 2, 3, 4, 0]])
@pytest.mark.parametrize("photo", ["colour", "grey in colour", "grey"])
def test_zero_bytes_before_restart_markers_are_dropped(photo: str, counts: list[int]) -> None:
    """A grey picture's intervals often end in zero bytes of their own."""
    image = Image.fromarray(PHOTO)
    if photo != "colour":
        image = image.convert("L").convert("L" if photo == "grey" else "RGB")
    data = encode(image, "JPEG", quality=90, restart_marker_rows=1)
    odd = with_zeros_before_restarts(data, counts)
    assert len(odd) > len(data)
    np.testing.assert_array_equal(decode(odd, MANY), decode(data, MANY))
    with pytest.raises(UnreadableImage):
        decode(damaged(odd), MANY)


def test_a_few_spare_bytes_before_the_end_are_no_damage() -> None:
    for spare in (bytes(4), b"\xff\xff\xff", b"\xaa" * 6):
        np.testing.assert_array_equal(decode(JPEG[:-2] + spare + JPEG[-2:], MANY), decode(JPEG, MANY))
    with pytest.raises(UnreadableImage):
        decode(JPEG[:-2] + bytes(500) + JPEG[-2:], MANY)


SAMPLINGS = [
    [(1, 1), (2, 1), (1, 1)],
    [(1, 3), (1, 1), (1, 1)],
    [(2, 2), (2, 1), (1, 1)],
    [(2, 4), (1, 1), (1, 1)],
    [(3, 1), (1, 1), (1, 1)],
    [(4, 1), (2, 1), (2, 1)],
    [(4, 2), (1, 1), (1, 1)],
    [(2, 2), (1, 2), (2, 1)],
]


def gradients(sampling: list[tuple[int, int]]) -> list[NDArray[np.int_]]:
    """Levels of 24 units' blocks: brightness falls to the right, chroma is the same everywhere."""
    levels = []
    for (h, v), start in zip(sampling, (90, -30, 25), strict=True):
        across = np.linspace(start, -start if start == 90 else start, 6 * h).astype(int)
        levels.append(np.repeat(across[None], 4 * v, axis=0))
    return levels


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_any_chroma_sampling_with_the_same_strictness(sampling: list[tuple[int, int]]) -> None:
    data = block_jpeg(sampling, gradients(sampling))
    image = decode(data, MANY)
    widest, highest = (max(factors) for factors in zip(*sampling, strict=True))
    assert image.shape == (4 * 8 * highest, 6 * 8 * widest, 3)
    assert close(image, as_pillow(data), 1)
    assert image[0, 0].tolist() == pytest.approx([253, 211, 165], abs=2)  # Y 218, Cb 98, Cr 153
    assert image[-1, -1].tolist() == pytest.approx([73, 31, 0], abs=2)  # Y 38

    scan = data.index(b"\xff\xda") + 14
    for cut in range(scan + 1, len(data) - 12, (len(data) - scan) // 20):
        with pytest.raises(UnreadableImage):
            decode(data[:cut] + b"\xff\xd9", MANY)
    with pytest.raises(UnreadableImage):
        decode(data[:-2] + data[scan : scan + 40] + data[-2:], MANY)


def test_chroma_sampling_of_ordinary_files_needs_no_second_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.imaging.decode.jpeg._libvips", lambda: pytest.fail("libvips was called"))
    for sampling in ("4:4:4", "4:2:2", "4:2:0"):
        assert close(decode(encode(PHOTO, "JPEG", quality=95, subsampling=sampling), MANY), PHOTO, 5)


ARITHMETIC = {
    "sequential": """
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdBRkxOUlNSMj5aYVpQYEpRUk
//2wBDAQ4ODhMREyYVFSZPNS01T09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT0//yQARCAAgACgDASIAAhEBAxEB
/8wACgAQEAUBEBEF/9oADAMBAAIRAxEAPwD/AK+YPQxSWD17S6RtU6AhPIVNtn+GRtWvehoe2NaMRd198W2inW5MWZ//AAWSGiH8aUf3+Oy5aFsWNT81Jb
AZ6nrNMKOdVpU532QT3+t5XoJDV78KUr71uSZaSttgn+YCeVgJeZqLWlS+5bJ2aWyKwOjsoEnt4h7K8fTiN/shEGeOpAjr59v/AGGAs2D+a7iVQuM4H/0+
Y67TGtn5zrKa9k+xDiwJ/By3Hhfv8FeexbAmV4p0iki5ExjTqjIketDH/J1bo7A1Qn77G+n6ZEmNNMxw/9k=""",
    "progressive": """
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdBRkxOUlNSMj5aYVpQYEpRUk
//2wBDAQ4ODhMREyYVFSZPNS01T09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT0//ygARCAAgACgDASIAAhEBAxEB
/8wABgAQARD/2gAMAwEAAhADEAAAAf8AVVOx0QMf8pRKeqFfgxdrldqL8/JbZEByETM4/8wABBAF/9oACAEBAAEFAhMyy9UjxVSZH8OnF09CXTma+ZWqwP
/MAAQRBf/aAAgBAwEBPwEXtNSbPZfA/8wABBEF/9oACAECAQE/ARgiLd3rcAaqSVBMtaQ+5WAjtp9SgP/MAAQQBf/aAAgBAQAGPwK/sP/MAAQQBf/aAAgB
AQABPyGK0da9ePfu/wDAKUcrsFlxq6lS7YR4E6D/2gAMAwEAAgADAAAAEL25eBv/zAAEEQX/2gAIAQMBAT8QMy25y8kbiv/MAAQRBf/aAAgBAgEBPxC6TC
yFPwLgQx/hWKzpS9HrF3cj6xGgQewLDOEEpIGJHP/MAAQQBf/aAAgBAQABPxBMb19ChgBhOiYHDPGbd/Ht97Kqk4rU4NtyrZFSouZVP3t258NxgEKP3vVe
FfFjVyhLU5+/ORz/2Q==""",
    "sampling 3x1": """
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdBRkxOUlNSMj5aYVpQYEpRUk
//2wBDAQ4ODhMREyYVFSZPNS01T09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT0//yQARCAAgACgDATEAAhEBAxEB
/8wACgAQEAUBEBEF/9oADAMBAAIRAxEAPwD/AK+YPQxSWD17Qsbs2RasL+DVkhhBlau7w74SV/W3KxjRcNSvKl8TJvd4hIfty18IbN4FAzNscjncxVSfgw
CVABsHpQuIXx3H+bpFCazkhiaXT3d9UaxV+96++Jj6dNCL2g4sJVifYlPjpGLdviEmaUC14BUj0kng4AqtsAb53QkeRJ8XjVuw6O4rbGbwfObaN+iuGiAb
Bd22zSXVK7C3wvfdJwamD6h4imjD7qydivRUtJfff+u+/kE14zuZ3Dw2YRmgrZrn+elgMiR/K5f58WHsqjNXfXJpy7xDOfpJwqis8cgUN2lX/9k=""",
}
"""A drawn picture of 40x32 pixels, by libjpeg-turbo's cjpeg -arithmetic."""


@pytest.mark.parametrize("kind", ARITHMETIC)
def test_arithmetic_coding_with_the_same_strictness(kind: str) -> None:
    data = base64.b64decode(ARITHMETIC[kind])
    y, x = np.mgrid[:32, :40]
    drawn = np.stack([x * 6, y * 7, x * y % 256], axis=-1).astype(np.uint8)
    assert close(decode(data, MANY), as_pillow(data), 1)
    assert close(decode(data, MANY), drawn, 12)
    scan = data.rindex(b"\xff\xda") + 10
    for cut in range(scan + 10, len(data) - 40, 10):
        with pytest.raises(UnreadableImage):
            decode(data[:cut] + b"\xff\xd9", MANY)


def test_second_start_marker_is_refused() -> None:
    with pytest.raises(UnreadableImage, match="second picture"):
        decode(jpeg_with(JPEG, b"\xff\xd8"), MANY)


def test_bytes_between_segments_belong_to_nothing() -> None:
    """A table that lost its marker is missed."""
    tables = JPEG.index(b"\xff\xc4")
    for stray in (b"stray", b"\xff" * 5, bytes(100)):
        np.testing.assert_array_equal(decode(JPEG[:tables] + stray + JPEG[tables:], MANY), decode(JPEG, MANY))
    quantization = JPEG.index(b"\xff\xdb")
    with pytest.raises(UnreadableImage):
        decode(JPEG[:quantization] + b"\xfe" + JPEG[quantization + 1 :], MANY)


@pytest.mark.parametrize(
    ("marker", "content", "message"),
    [
        (0xC5, b"\x08\0\x10\0\x10\1\1\x11\0", "hierarchical"),
        (0xC3, b"\x08\0\x10\0\x10\1\1\x11\0", "lossless"),
        (0xC1, b"\x0c\0\x10\0\x10\1\1\x11\0", "12 bits"),
        (0xC0, b"\x08\0\x10\0\x10\2\1\x11\0\2\x11\0", "2 components"),
    ],
)
def test_other_kinds_are_named(marker: int, content: bytes, message: str) -> None:
    data = b"\xff\xd8" + segment(marker, content) + segment(0xDA, b"\1\1\0\0\x3f\0") + b"\0\xff\xd9"
    with pytest.raises(UnsupportedFormat, match=message):
        decode(data, MANY)


def test_very_many_scans_or_segments_are_refused() -> None:
    last_scan = PROGRESSIVE[PROGRESSIVE.rindex(b"\xff\xda") : -2]
    with pytest.raises(UnreadableImage, match="scans"):
        decode(PROGRESSIVE[:-2] + last_scan * 200 + PROGRESSIVE[-2:], MANY)
    with pytest.raises(UnreadableImage, match="segments"):
        decode(jpeg_with(PROGRESSIVE, b"\xff\xfe\0\2" * 5000), MANY)


def test_markers_in_any_order_are_a_picture_or_an_error() -> None:
    frame, table, scan = (JPEG[JPEG.index(bytes((0xFF, m))) :] for m in (0xC0, 0xC4, 0xDA))
    pieces = [piece[: 2 + int.from_bytes(piece[2:4])] for piece in (frame, table, scan)]
    for order in product([*pieces, b"\xff\xd0", b"\xff\1", b"\xff\xda\0\0"], repeat=3):
        with pytest.raises(ImageError):
            decode(b"\xff\xd8" + b"".join(order) + b"\xff\xd9", MANY)
