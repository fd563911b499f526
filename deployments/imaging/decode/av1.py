"""What an AV1 bitstream says of its frames, without decoding them (AV1 specification, sections 5.3 to 5.5)."""

from collections.abc import Iterator
from dataclasses import dataclass

from deployments.imaging.decode.errors import UnreadableImage

_SEQUENCE_HEADER, _FRAME_HEADER, _FRAME = 1, 3, 6


@dataclass(frozen=True)
class Av1Frames:
    """The largest frame that a bitstream may hold, and how many it holds."""

    width: int
    height: int
    count: int


def measure_av1(data: bytes) -> Av1Frames:
    """Raises UnreadableImage."""
    width = height = count = 0
    for kind, content in _units(data):
        if kind == _SEQUENCE_HEADER:
            size = _largest_frame(_Bits(content))
            width, height = max(width, size[0]), max(height, size[1])
        count += kind in (_FRAME_HEADER, _FRAME)
    return Av1Frames(width, height, count)


def _units(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and content of every open bitstream unit (OBU)."""
    position = 0
    while position < len(data):
        header = data[position]
        position += 2 if header & 4 else 1
        size = len(data) - position
        if header & 2:
            size, position = _leb128(data, position)
        if header & 0x80 or size < 0 or position + size > len(data):
            raise UnreadableImage("the AVIF data is truncated or corrupt")
        yield header >> 3 & 15, data[position : position + size]
        position += size


def _leb128(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index in range(8):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            return value, position
    raise UnreadableImage("the AVIF data is truncated or corrupt")


class _Bits:
    def __init__(self, data: bytes) -> None:
        self._bits = int.from_bytes(data[:256])
        self._left = 8 * len(data[:256])

    def read(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise UnreadableImage("the AVIF data is truncated or corrupt")
        return self._bits >> self._left & ((1 << count) - 1)

    def skip_uvlc(self) -> None:
        zeros = 0
        while not self.read(1):
            zeros += 1
        if zeros < 32:
            self.read(zeros)


def _largest_frame(bits: _Bits) -> tuple[int, int]:
    """Width and height of section 5.5.1's sequence header."""
    bits.read(4)  # profile, still_picture
    if bits.read(1):  # reduced_still_picture_header
        bits.read(5)
    else:
        delay_size = 0
        has_model = False
        if bits.read(1):  # timing_info_present_flag
            bits.read(64)
            if bits.read(1):  # equal_picture_interval
                bits.skip_uvlc()
            has_model = bool(bits.read(1))
            if has_model:
                delay_size = bits.read(5) + 1
                bits.read(42)
        has_display_delay = bits.read(1)
        for _ in range(bits.read(5) + 1):
            bits.read(12)
            if bits.read(5) > 7:
                bits.read(1)
            if has_model and bits.read(1):
                bits.read(2 * delay_size + 1)
            if has_display_delay and bits.read(1):
                bits.read(4)
    width_size, height_size = bits.read(4) + 1, bits.read(4) + 1
    return bits.read(width_size) + 1, bits.read(height_size) + 1
