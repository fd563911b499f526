"""The pictures in an HEIF container (AVIF, HEIC): ISO/IEC 14496-12 boxes, as ISO/IEC 23008-12 uses them."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from deployments.imaging.decode.errors import UnreadableImage, UnsupportedFormat

MAX_ITEMS = 10_000


@dataclass
class Item:
    """A picture, a grid of pictures, or a piece of metadata."""

    kind: bytes
    """av01, hvc1, grid, Exif, mime and others."""
    kind_at: int
    """Where in the file its kind stands."""
    content: list[tuple[int, int]] = field(default_factory=list)
    """Start and end of its bytes in the file, in pieces."""
    width: int = 0
    height: int = 0
    parts: list[int] = field(default_factory=list)
    """A grid's pictures."""

    def data(self, file: bytes) -> bytes:
        return b"".join(file[start:end] for start, end in self.content)


@dataclass(frozen=True)
class Container:
    items: dict[int, Item]
    primary: Item


class _Reader:
    """Big-endian numbers, one after the other."""

    def __init__(self, data: bytes, start: int, end: int) -> None:
        self.data, self.position, self.end = data, start, end

    def number(self, size: int) -> int:
        start, self.position = self.position, self.position + size
        if self.position > self.end:
            raise UnreadableImage("the picture's container is truncated or corrupt")
        return int.from_bytes(self.data[start : self.position])

    def version_and_flags(self) -> tuple[int, int]:
        return self.number(1), self.number(3)


def read_container(data: bytes) -> Container:
    """Read what the file says of its pictures; none is decoded. Raises UnreadableImage, UnsupportedFormat."""
    meta: tuple[int, int] | None = None
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind == b"meta" and meta is None:
            meta = start + 4, end
    if meta is None:
        raise UnsupportedFormat("the HEIF container holds no still picture; save as JPEG")
    boxes: dict[bytes, tuple[int, int]] = {}
    for kind, start, end in _boxes(data, *meta):
        boxes.setdefault(kind, (start, end))
    if not boxes.keys() >= {b"pitm", b"iinf", b"iloc", b"iprp"}:
        raise UnreadableImage("the picture's container holds no still picture")
    items = dict(_items(_Reader(data, *boxes[b"iinf"])))
    _locate(items, _Reader(data, *boxes[b"iloc"]), boxes.get(b"idat"))
    _measure(items, data, *boxes[b"iprp"])
    if b"iref" in boxes:
        _connect(items, data, *boxes[b"iref"])
    primary = _Reader(data, *boxes[b"pitm"])
    version, _ = primary.version_and_flags()
    number = primary.number(2 if version == 0 else 4)
    if number not in items:
        raise UnreadableImage("the picture's container holds no still picture")
    return Container(items, items[number])


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, and start and end of the content, of boxes side by side."""
    for _ in range(MAX_ITEMS):
        if start + 8 > end:
            return
        reader = _Reader(data, start, end)
        size, kind = reader.number(4), data[start + 4 : start + 8]
        reader.position += 4
        if size == 1:
            size = reader.number(8)
        stop = start + size if size else end
        if not reader.position <= stop <= end:
            raise UnreadableImage("the picture's container is truncated or corrupt")
        yield kind, reader.position, stop
        start = stop
    raise UnreadableImage(f"the picture's container has more than {MAX_ITEMS} parts")


def _items(reader: _Reader) -> Iterator[tuple[int, Item]]:
    version, _ = reader.version_and_flags()
    reader.number(2 if version == 0 else 4)
    for kind, start, end in _boxes(reader.data, reader.position, reader.end):
        entry = _Reader(reader.data, start, end)
        version, _ = entry.version_and_flags()
        if kind == b"infe" and version >= 2:
            number = entry.number(2 if version == 2 else 4)
            entry.number(2)
            at = entry.position
            entry.number(4)
            yield number, Item(reader.data[at : at + 4], at)


def _locate(items: dict[int, Item], reader: _Reader, inner: tuple[int, int] | None) -> None:
    """Fill in where the items' bytes are (iloc); metadata may lie outside the file."""
    version, _ = reader.version_and_flags()
    sizes = reader.number(2)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version > 0 else 0
    pieces = 0
    for _ in range(_count(reader.number(2 if version < 2 else 4))):
        number = reader.number(2 if version < 2 else 4)
        is_inner = version > 0 and reader.number(2) & 15 == 1
        reader.number(2)
        base = reader.number(base_size)
        count = reader.number(2)
        pieces = _count(pieces + count)
        for _ in range(count):
            reader.number(index_size)
            start, length = base + reader.number(offset_size), reader.number(length_size)
            end = start + length if length else len(reader.data)
            if is_inner and inner is not None:
                start, end = start + inner[0], min(end + inner[0], inner[1])
            if number in items:
                items[number].content.append((start, end))


def _measure(items: dict[int, Item], data: bytes, start: int, end: int) -> None:
    """Fill in the items' sizes: properties (ipco) and which item has which (ipma)."""
    sizes: dict[int, tuple[int, int]] = {}
    for kind, *content in _boxes(data, start, end):
        if kind == b"ipco":
            for index, (name, *place) in enumerate(_boxes(data, *content), 1):
                if name == b"ispe":
                    reader = _Reader(data, *place)
                    reader.version_and_flags()
                    sizes[index] = reader.number(4), reader.number(4)
        if kind == b"ipma":
            reader = _Reader(data, *content)
            version, flags = reader.version_and_flags()
            for _ in range(_count(reader.number(4))):
                number = reader.number(2 if version == 0 else 4)
                for _ in range(reader.number(1)):
                    index = reader.number(2) & 0x7FFF if flags & 1 else reader.number(1) & 0x7F
                    if index in sizes and number in items:
                        items[number].width, items[number].height = sizes[index]


def _connect(items: dict[int, Item], data: bytes, start: int, end: int) -> None:
    """Fill in what grids are made of (dimg references of iref)."""
    reader = _Reader(data, start, end)
    version, _ = reader.version_and_flags()
    size = 2 if version == 0 else 4
    for kind, start, stop in _boxes(data, reader.position, end):
        reference = _Reader(data, start, stop)
        number = reference.number(size)
        parts = [reference.number(size) for _ in range(_count(reference.number(2)))]
        if kind == b"dimg" and number in items:
            items[number].parts += parts


def _count(number: int) -> int:
    if number > MAX_ITEMS:
        raise UnreadableImage(f"the picture's container has more than {MAX_ITEMS} parts")
    return number
