"""Small picture files, made for the purpose."""

import struct
import zlib
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MANY = 10_000_000


def encode(image: Image.Image | NDArray[Any], format: str, **options: Any) -> bytes:
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def close(first: NDArray[np.uint8], second: NDArray[np.uint8], tolerance: float) -> bool:
    return first.shape == second.shape and float(np.abs(first.astype(int) - second).mean()) <= tolerance


def as_pillow(data: bytes) -> NDArray[np.uint8]:
    with Image.open(BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *chunks: bytes) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + body + png_chunk(b"IEND", b"")


def png_with(data: bytes, *chunks: bytes) -> bytes:
    """Chunks put behind the header."""
    return data[:33] + b"".join(chunks) + data[33:]


def segment(marker: int, content: bytes) -> bytes:
    """A JPEG segment."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def jpeg_with(data: bytes, *segments: bytes) -> bytes:
    """Segments put behind the start marker."""
    return data[:2] + b"".join(segments) + data[2:]


def jpeg_without(data: bytes, marker: int) -> bytes:
    """Without the first segment of a kind."""
    start = data.index(bytes((0xFF, marker)))
    return data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4]) :]


def block_jpeg(sampling: Sequence[tuple[int, int]], levels: Sequence[NDArray[np.int_]], adobe: bytes = b"") -> bytes:
    """A baseline JPEG of flat 8x8 blocks with any chroma sampling.

    ``levels``: for each component its blocks' values, -128 to 127, [rows of units * v, columns of units * h].
    """
    rows, columns = (side // factor for side, factor in zip(levels[0].shape, sampling[0][::-1], strict=True))
    bits, last = [], [0] * len(levels)
    for unit in np.ndindex(rows, columns):
        for component, ((h, v), values) in enumerate(zip(sampling, levels, strict=True)):
            for value in values[unit[0] * v : (unit[0] + 1) * v, unit[1] * h : (unit[1] + 1) * h].ravel().tolist():
                difference, last[component] = value - last[component], value
                size = abs(difference).bit_length()
                amplitude = difference if difference > 0 else difference + (1 << size) - 1
                bits.append(f"{size:04b}" + (f"{amplitude:0{size}b}" if size else "") + "0")
    joined = "".join(bits)
    joined += "1" * (-len(joined) % 8)
    data = int(joined, 2).to_bytes(len(joined) // 8).replace(b"\xff", b"\xff\0")
    height, width = rows * 8 * max(v for _, v in sampling), columns * 8 * max(h for h, _ in sampling)
    components = b"".join(bytes((1 + number, h << 4 | v, 0)) for number, (h, v) in enumerate(sampling))
    return b"".join(
        (
            b"\xff\xd8",
            adobe,
            segment(0xDB, b"\0" + b"\x08" * 64),
            segment(0xC0, struct.pack(">BHHB", 8, height, width, len(sampling)) + components),
            segment(0xC4, b"\0" + bytes((0, 0, 0, 12)) + bytes(12) + bytes(range(12))),
            segment(0xC4, b"\x10" + bytes((1,)) + bytes(15) + b"\0"),
            segment(
                0xDA, bytes((len(sampling),)) + b"".join(bytes((1 + n, 0)) for n in range(len(sampling))) + b"\0\x3f\0"
            ),
            data,
            b"\xff\xd9",
        )
    )
