"""How much a TIFF's tags hold, told before they are read; EXIF is built as a TIFF, too."""

import struct
from collections.abc import Iterator

MAX_NUMBERS = 400_000
"""Pillow makes a Python object of each, up to 100 bytes and 2 us. Pictures of 50 million pixels in tiles of 16x16, the
smallest that there are, have 400 000."""

_ITEM_BYTES = {3: 2, 4: 4, 5: 8, 6: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Of the types of numbers; texts and bytes stay as they are."""
_FIRST_PRIVATE_TAG = 32768
_ICC_PROFILE = 34675


def count_numbers(data: bytes) -> int:
    """How many numbers those tags of a TIFF's first page hold that may be looked at."""
    numbers = 0
    for tag, kind, count in _entries(data):
        # What a tag claims beyond the end of the file is never read.
        if (tag < _FIRST_PRIVATE_TAG or tag == _ICC_PROFILE) and count * _ITEM_BYTES.get(kind, 0) <= len(data):
            numbers += count if kind in _ITEM_BYTES else 0
    return numbers


def _entries(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Tag, type and count of each entry of the first directory that is whole."""
    order = ">" if data.startswith(b"MM") else "<"
    if data[2:4] in (b"\x2b\0", b"\0\x2b"):  # BigTIFF
        start_at, start, count, entry, size = 8, "Q", "Q", "HHQ", 20
    else:
        start_at, start, count, entry, size = 4, "I", "H", "HHI", 12
    try:
        (place,) = struct.unpack_from(order + start, data, start_at)
        (many,) = struct.unpack_from(order + count, data, place)
        first = place + struct.calcsize(count)
        for at in range(first, min(first + size * many, len(data)), size):
            yield struct.unpack_from(order + entry, data, at)
    except struct.error:
        return
