from typing import Any

import pytest
from onnx import ModelProto

from deployments.models.onnx.wire import check_fields
from tests.deployments.models.onnx.conftest import FinderFile

KIND = ModelProto.DESCRIPTOR


def fields(message: Any) -> int:
    """Of a parsed message, as it would be written: a packed list is one field, any other one an element."""
    count = 0
    for field, value in message.ListFields():
        elements = list(value) if hasattr(value, "append") else [value]
        count += 1 if field.GetOptions().packed else len(elements)
        if field.message_type is not None:
            count += sum(map(fields, elements))
    return count


def test_fields_are_counted_without_parsing(finder: FinderFile) -> None:
    data = finder().read_bytes()
    held = fields(ModelProto.FromString(data))
    assert held > 100
    check_fields(data, KIND, held)
    with pytest.raises(ValueError, match=f"the file has more than {held - 1} fields"):
        check_fields(data, KIND, held - 1)


@pytest.mark.parametrize(
    "data",
    [
        b"\x08",  # a field without its value
        b"\x3a\x05\x0a",  # a graph longer than the file
        b"\x3a\x02\x0a\x01",  # a node longer than its graph
        b"\x0b",  # a group
        b"\x09\x00",  # eight bytes of which one is there
        b"\xff" * 20,  # a number without an end
    ],
)
def test_damaged_messages_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="the file is damaged, or no ONNX file"):
        check_fields(data, KIND, 1000)
