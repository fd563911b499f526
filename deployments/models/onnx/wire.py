"""How much protobuf's bytes hold, told before they are parsed: two bytes of them can become a hundred in memory."""

from google.protobuf.descriptor import Descriptor

VARINT, EIGHT_BYTES, DELIMITED, FOUR_BYTES = 0, 1, 2, 5
"""Kinds of fields (protobuf.dev/programming-guides/encoding)."""


def check_fields(data: bytes, kind: Descriptor, most: int) -> None:
    """Raise ValueError where a message of this kind, with all nested in it, has more fields than that, or is damaged.

    Values of a packed list count as one field.
    """
    count = 0
    waiting = [(0, len(data), kind)]
    while waiting:
        place, end, message = waiting.pop()
        while place < end:
            count += 1
            if count > most:
                raise ValueError(f"the file has more than {most} fields")
            tag, place = _varint(data, place, end)
            if tag & 7 == DELIMITED:
                length, place = _varint(data, place, end)
                field = message.fields_by_number.get(tag >> 3)
                if length and field is not None and field.message_type is not None:
                    waiting.append((place, place + length, field.message_type))
                place += length
            elif tag & 7 == VARINT:
                _, place = _varint(data, place, end)
            elif tag & 7 in (EIGHT_BYTES, FOUR_BYTES):
                place += 8 if tag & 7 == EIGHT_BYTES else 4
            else:
                raise ValueError("the file is damaged, or no ONNX file")
            if place > end:
                raise ValueError("the file is damaged, or no ONNX file")


def _varint(data: bytes, place: int, end: int) -> tuple[int, int]:
    """An integer of seven bits a byte, and the place after it."""
    value = shift = 0
    while place < end and shift < 70:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
    raise ValueError("the file is damaged, or no ONNX file")
