"""JPEG, strictly: libjpeg fills what damaged data does not give with grey and only warns of it."""

import logging
import re
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import cast

import numpy as np
import simplejpeg  # type: ignore[import-untyped]

from deployments.imaging.as_shown import orientation_of
from deployments.imaging.decode.errors import UnreadableImage, UnsupportedFormat
from deployments.imaging.decode.jpeg_stream import EOI, SOI, Frame, JpegStream, Scan, read_jpeg
from deployments.imaging.decode.picture import ImageHeader, Pixels

MAX_REPAIRED_INTERVALS = 10_000
PADDING = 9
"""Bytes, all alike, that some encoders leave before the end marker; more of them mean that data went missing before."""

_NOISE = bytes(101 * i % 255 for i in range(1, 1000))  # without 255, which starts a marker

_PADDED_END = re.compile(r"Corrupt JPEG data: (\d) extraneous bytes before marker 0xd9")
_SPARE_BYTES = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd([0-79])")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")


class JpegPicture:
    """A JPEG file, decoded by libjpeg-turbo, and by libvips where libjpeg-turbo's simple interface gives up."""

    def __init__(self, data: bytes) -> None:
        """Raises ImageError as ``read_jpeg``."""
        self._stream = read_jpeg(data)
        self.header = ImageHeader("JPEG", self._stream.frame.width, self._stream.frame.height)

    @property
    def orientation(self) -> int:
        return orientation_of(self._stream.exif)

    def pixels(self, max_pixels: int) -> Pixels:
        try:
            return _rgb(_turbojpeg(self._stream))
        except ValueError as error:
            message = str(error)
        if "Could not determine subsampling" in message:
            return _rgb(_vips(self._stream))
        if _SPARE_BYTES.fullmatch(message):
            return _rgb(_turbojpeg(_without_spare_zeros(self._stream)))
        raise UnreadableImage("the JPEG data is truncated or corrupt")


def _rgb(pixels: Pixels) -> Pixels:
    if pixels.shape[2] == 4:  # CMYK, stored inverted, as Adobe does
        ink = pixels.astype(np.uint16)
        return ((ink[..., :3] * ink[..., 3:] + 127) // 255).astype(np.uint8)
    return pixels


def _turbojpeg(stream: JpegStream) -> Pixels:
    """Decode with libjpeg-turbo to RGB or CMYK; every warning but that of a padded end is an error."""
    data = stream.encode()
    colours = "CMYK" if len(stream.frame.sampling) == 4 else "RGB"
    try:
        pixels = simplejpeg.decode_jpeg(data, colours)
    except ValueError as error:
        padding = _PADDED_END.fullmatch(str(error))
        if padding is None or len(set(stream.scans[-1].data[-int(padding[1]) :])) > 1:
            raise
        pixels = simplejpeg.decode_jpeg(data, colours, strict=False)
    if stream.frame.is_arithmetic:
        longer = simplejpeg.decode_jpeg(_with_noise_after_data(stream).encode(), colours, strict=False)
        _check_same(pixels, longer)
    return cast(Pixels, pixels)


def _vips(stream: JpegStream) -> Pixels:
    """The same with libvips, which takes any chroma sampling.

    libvips does not look at warnings about the last eight rows and about what follows them, so that the end of the
    data is judged by what it does to the pixels.
    """
    if stream.frame.is_arithmetic and stream.restart_interval:
        raise UnsupportedFormat("arithmetic JPEG with this chroma sampling is not read with restart markers")
    pixels = _decode_with_vips(stream, strict=True)
    _check_same(pixels, _decode_with_vips(_with_noise_after_data(stream), strict=False))
    if len(stream.scans) == 1:
        others = (_with_other_end(stream, noise) for noise in (_NOISE, _NOISE[::-1]))
        if all(np.array_equal(pixels, _decode_with_vips(other, strict=False)) for other in others):
            raise UnreadableImage("the JPEG data is corrupt: there is more of it than the picture has pixels")
    return pixels


@cache
def _libvips() -> ModuleType:
    """Imported when a file needs it, which few do."""
    import pyvips  # type: ignore[import-untyped]

    logging.getLogger("pyvips").setLevel(logging.CRITICAL)  # it warns of what is raised as well
    pyvips.cache_set_max(0)
    pyvips.concurrency_set(1)
    return cast(ModuleType, pyvips)


def _decode_with_vips(stream: JpegStream, *, strict: bool) -> Pixels:
    image = _libvips().Image.jpegload_buffer(
        stream.encode(), access="sequential", fail_on="warning" if strict else "none"
    )
    pixels = np.frombuffer(image.write_to_memory(), np.uint8).reshape(image.height, image.width, image.bands)
    if image.bands == 4:
        return 255 - pixels  # libvips undoes Adobe's inversion
    return np.repeat(pixels, 3, axis=2) if image.bands == 1 else pixels


def _with_noise_after_data(stream: JpegStream) -> JpegStream:
    """The same picture if its data is whole: noise stands where a decoder must have stopped reading.

    An arithmetic decoder may run on into any number of zeros without a warning. Encoders leave out a few zero bytes at
    an interval's end (ITU-T T.81, D.1.8), so sixteen stand before the noise.
    """
    scans = [scan.data + bytes(16) + _NOISE for scan in stream.scans]
    if stream.frame.is_arithmetic:
        scans = [_RESTART.sub(lambda marker: bytes(16) + _NOISE + marker[0], data) for data in scans]
    return replace(stream, scans=tuple(Scan(scan.head, data) for scan, data in zip(stream.scans, scans, strict=True)))


def _with_other_end(stream: JpegStream, end: bytes) -> JpegStream:
    """Another picture if the data has no spare end: more of its last bytes than may be padding are overwritten."""
    scan = stream.scans[0]
    last_interval = max((marker.end() for marker in _RESTART.finditer(scan.data)), default=0)
    kept = max(last_interval, len(scan.data) - PADDING - 1)
    return replace(stream, scans=(Scan(scan.head, scan.data[:kept] + end),))


def _check_same(pixels: Pixels, longer: Pixels) -> None:
    if not np.array_equal(pixels, longer):
        raise UnreadableImage("the JPEG data is truncated or corrupt: a scan ends before its last pixel")


def _without_spare_zeros(stream: JpegStream) -> JpegStream:
    """Drop zero bytes that some cameras leave before a restart marker, but none that data needs."""
    if len(stream.scans) != 1 or not stream.restart_interval:
        return stream
    scan = stream.scans[0]
    intervals = _RESTART.split(scan.data)
    ends_in_zero = [number for number, interval in enumerate(intervals[:-1]) if interval.endswith(b"\0")]
    # The picture's own intervals are decoded once more, so that they take as long as it; there is no end of others.
    if len(ends_in_zero) > MAX_REPAIRED_INTERVALS or len(intervals) > _interval_count(stream):
        return stream
    head = _head_of_three_intervals(stream)
    for number in ends_in_zero:
        spare = _spare_bytes(head, intervals[number])
        if spare and not intervals[number][-spare:].strip(b"\0"):
            intervals[number] = intervals[number][:-spare]
    markers = [*_RESTART.findall(scan.data), b""]
    data = b"".join(part for pair in zip(intervals, markers, strict=True) for part in pair)
    return replace(stream, scans=(Scan(scan.head, data),))


def _unit_size(frame: Frame) -> tuple[int, int]:
    """Width and height of a minimum coded unit (ITU-T T.81, A.2)."""
    if len(frame.sampling) == 1:
        return 8, 8
    width, height = (8 * max(factors) for factors in zip(*frame.sampling, strict=True))
    return width, height


def _interval_count(stream: JpegStream) -> int:
    width, height = _unit_size(stream.frame)
    units = -(-stream.frame.width // width) * -(-stream.frame.height // height)
    return -(-units // stream.restart_interval)


def _head_of_three_intervals(stream: JpegStream) -> bytes:
    frame, head = stream.frame, stream.scans[0].head
    components = len(frame.sampling)
    width, height = _unit_size(frame)
    start = bytes((0xFF, frame.process, 0, 8 + 3 * components, 8))
    before, after = head.split(start + frame.height.to_bytes(2) + frame.width.to_bytes(2), 1)
    width = min(width * stream.restart_interval, 0xFFFF)
    return before + start + (3 * height).to_bytes(2) + width.to_bytes(2) + after


def _spare_bytes(head: bytes, interval: bytes) -> int:
    """How many of a restart interval's last bytes libjpeg-turbo can do without.

    Each interval is coded by itself, so that it can be decoded as each row of a picture of three. libjpeg counts the
    bytes that it drops before a marker, and says so before the next that it has not read ahead to: the second's end,
    put out of reach of its 8 bytes.
    """
    padding = 16
    data = SOI + head + interval + b"\xff\xd0" + interval + bytes(padding) + b"\xff\xd1" + interval + EOI
    try:
        simplejpeg.decode_jpeg(data)
    except ValueError as error:
        if match := _SPARE_BYTES.fullmatch(str(error)):
            dropped = int(match[1])
            return dropped if match[2] == "0" else (dropped - padding) // 2
    return 0
