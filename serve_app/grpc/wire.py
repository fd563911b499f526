"""Messages from strangers: bounded before they are parsed, since a few bytes of an empty field become a hundred."""

from typing import Any, TypeVar

import grpc  # type: ignore[import-untyped]
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from serve_app.grpc.call import CallRefused, invalid
from serve_app.pipeline import Pipeline

MAX_MEMORY = 16 * 1024 * 1024
"""Roughly the bytes that the fields of one message may take once parsed, beside the bytes of its strings."""
FIELD_MEMORY = 128
PACKED_MEMORY = 8
"""For each byte of packed numbers."""
PARSED_INLINE = 64 * 1024
"""Bytes of a request up to which a thread's hand-over costs more than it spares others; health must not queue, too."""

M = TypeVar("M", bound=Message)

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_OPAQUE = (FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_STRING)


async def read(kind: type[M], data: bytes, max_bytes: int, pipeline: Pipeline) -> M:
    """Parse a request of at most ``max_bytes``, a large one on a thread. Raises CallRefused."""
    if len(data) > max_bytes:
        message = f"the request is larger than the limit of {max_bytes} bytes"
        raise CallRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, message)
    try:
        if len(data) <= PARSED_INLINE:
            return parse(kind, data)
        return await pipeline.on_thread(parse, kind, data)
    except ValueError as error:
        raise invalid(str(error)) from None


def parse(kind: type[M], data: bytes) -> M:
    """Parse a message. Raises ValueError for what is malformed, and for more fields than MAX_MEMORY allows."""
    _charge(memoryview(data), kind.DESCRIPTOR, MAX_MEMORY)
    try:
        return kind.FromString(data)
    except DecodeError:
        raise ValueError(f"the request is not a {kind.DESCRIPTOR.full_name}") from None


def _charge(data: memoryview, message: Any, memory: int) -> int:
    """What is left of ``memory`` after the fields of a message, read as the encoding says, without their values.

    https://protobuf.dev/programming-guides/encoding/
    """
    position = 0
    while position < len(data):
        memory -= FIELD_MEMORY
        tag, position = _varint(data, position)
        kind = tag & 7
        if kind == _VARINT:
            _, position = _varint(data, position)
        elif kind in (_FIXED64, _FIXED32):
            position += 8 if kind == _FIXED64 else 4
        elif kind == _BYTES:
            size, start = _varint(data, position)
            position = start + size
            field = message.fields_by_number.get(tag >> 3)
            if field is not None and field.message_type is not None:
                memory = _charge(data[start:position], field.message_type, memory)
            elif field is not None and field.type not in _OPAQUE:
                memory -= PACKED_MEMORY * size
        else:
            raise ValueError("the request has a field of a wire type that is not used")
        if position > len(data):
            raise ValueError("the request is truncated")
        if memory < 0:
            raise ValueError("the request has too many fields or numbers; send tensors as raw contents")
    return memory


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """A number of up to 64 bits in groups of 7, least significant first, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise ValueError("the request is truncated")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("the request has a number of more than 64 bits")
