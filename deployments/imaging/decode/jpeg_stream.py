"""A JPEG file reduced to what its pixels depend on.

Decoders look into metadata too, and their complaints about it cannot be told from damage: libjpeg keeps only the first
warning of a file. So metadata never reaches them: what a decoder then says is about pixels.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from deployments.imaging.decode.errors import UnreadableImage, UnsupportedFormat

MAX_SEGMENTS = 2000
MAX_SCANS = 100

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
_APP0, _APP1, _APP14, _APP15, _COMMENT = 0xE0, 0xE1, 0xEE, 0xEF, 0xFE
_DNL, _SOS, _RESTART_INTERVAL = 0xDC, 0xDA, 0xDD
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")

_SEQUENTIAL = (0xC0, 0xC1, 0xC9)
_FRAMES = {
    **dict.fromkeys((0xC0, 0xC1, 0xC2), "Huffman"),
    **dict.fromkeys((0xC9, 0xCA), "arithmetic"),
    **dict.fromkeys((0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF), "hierarchical or lossless"),
}

JFIF = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"


@dataclass(frozen=True)
class Frame:
    """The frame header (SOF) of ITU-T T.81, section B.2.2."""

    process: int
    """Its marker's second byte."""
    width: int
    height: int
    sampling: tuple[tuple[int, int], ...]
    """Horizontal and vertical sampling factor of each component."""

    @property
    def is_arithmetic(self) -> bool:
        return _FRAMES[self.process] == "arithmetic"


@dataclass(frozen=True)
class Scan:
    """Tables and header of a scan, and its entropy-coded data up to the next marker that is no restart."""

    head: bytes
    data: bytes


@dataclass(frozen=True)
class JpegStream:
    """The first picture of a JPEG file (a phone's MPO holds several), without its metadata."""

    frame: Frame
    scans: tuple[Scan, ...]
    restart_interval: int
    """In minimum coded units; 0 for none."""
    exif: bytes | None

    def encode(self) -> bytes:
        """A JPEG file of the same pixels."""
        return b"".join([SOI, *(part for scan in self.scans for part in (scan.head, scan.data)), EOI])


class _Segment(NamedTuple):
    marker: int
    content: bytes
    """Without marker and length."""
    after: bytes
    """What stands between this segment and the next marker: a scan's data, else bytes that belong to nothing."""


def read_jpeg(data: bytes) -> JpegStream:
    """Walk the markers up to the end of the (first) picture; no pixel is decoded.

    Raises UnreadableImage where the file ends early, is not built of segments, or has so many of them or so many scans
    (each revisits every pixel) that a small file would run for minutes; UnsupportedFormat for JPEG processes that no
    common encoder writes.
    """
    frame: Frame | None = None
    scans: list[Scan] = []
    head: list[bytes] = []
    exif: bytes | None = None
    has_jfif, adobe_transform, restart_interval = False, None, 0
    for marker, content, after in _segments(data):
        if marker == _APP0:
            has_jfif |= content.startswith(b"JFIF\0") and len(content) >= 14
        elif marker == _APP1:
            if exif is None and content.startswith(b"Exif\0"):
                exif = content
        elif marker == _APP14:
            if content.startswith(b"Adobe") and len(content) >= 12:
                adobe_transform = content[11]
        elif marker == _SOS:
            if frame is None:
                raise UnreadableImage("the JPEG data is corrupt: pixels come before the frame header")
            if not scans:
                head.append(_colour_markers(len(frame.sampling), has_jfif, adobe_transform))
            head.append(_encode(_SOS, _scan_header(content, frame)))
            scans.append(Scan(b"".join(head), after))
            head = []
            if len(scans) > MAX_SCANS:
                raise UnreadableImage(f"the JPEG has more than {MAX_SCANS} scans")
        elif not _is_metadata(marker):
            if frame is None and marker in _FRAMES:
                frame = _frame(marker, content)
            if marker == _RESTART_INTERVAL and len(content) == 2:
                restart_interval = int.from_bytes(content)
            head.append(_encode(marker, content))
    if frame is None or not scans:
        raise UnreadableImage("the JPEG holds no picture")
    return JpegStream(frame, tuple(scans), restart_interval, exif)


def _segments(data: bytes) -> Iterator[_Segment]:
    """Every segment between the start and the end marker."""
    match = _MARKER.search(data, 2)
    for _ in range(MAX_SEGMENTS):
        if match is None:
            break
        marker, start = match[1][0], match.end()
        if marker == EOI[1]:
            return
        if marker == SOI[1]:
            raise UnreadableImage("the JPEG data is corrupt: a second picture starts within the first")
        end = start if marker == 0x01 else start + int.from_bytes(data[start : start + 2])
        match = _MARKER.search(data, end)
        if match is None:
            break
        yield _Segment(marker, data[start + 2 : end], data[end : match.start()])
    else:
        raise UnreadableImage(f"the JPEG has more than {MAX_SEGMENTS} segments")
    raise UnreadableImage("the JPEG data is truncated: it ends before its end-of-image marker")


def _is_metadata(marker: int) -> bool:
    return marker in (0x01, _COMMENT, _DNL) or _APP0 <= marker <= _APP15


def _encode(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2) + content


def _frame(marker: int, content: bytes) -> Frame:
    if _FRAMES[marker] == "hierarchical or lossless":
        raise UnsupportedFormat("hierarchical and lossless JPEG is not read; save as baseline or progressive JPEG")
    if len(content) < 6 or len(content) != 6 + 3 * content[5]:
        raise UnreadableImage("the JPEG header is corrupt")
    if content[0] != 8:
        raise UnsupportedFormat(f"JPEG of {content[0]} bits a sample is not read; save with 8 bits")
    if content[5] not in (1, 3, 4):
        raise UnsupportedFormat(f"JPEG with {content[5]} components is not read; save as RGB")
    sampling = tuple((factors >> 4, factors & 15) for factors in content[7::3])
    return Frame(marker, int.from_bytes(content[3:5]), int.from_bytes(content[1:3]), sampling)


def _colour_markers(components: int, has_jfif: bool, adobe_transform: int | None) -> bytes:
    """What tells YCbCr from RGB and YCCK from CMYK, with the values that libjpeg takes unknown ones for."""
    markers = JFIF if has_jfif else b""
    if adobe_transform is None and components == 4:
        adobe_transform = 0
    if adobe_transform is not None:
        known = 2 if components == 4 else 1
        markers += b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([known if adobe_transform else 0])
    return markers


def _scan_header(content: bytes, frame: Frame) -> bytes:
    """In a sequential JPEG a scan has every coefficient at full precision, whatever old encoders write there."""
    if frame.process in _SEQUENTIAL and len(content) > 4:
        return content[:-3] + b"\0\x3f\0"
    return content
