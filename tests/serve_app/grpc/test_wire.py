"""The bound on messages before they are parsed."""

from collections.abc import Callable
from functools import partial

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st

from serve_app.grpc import wire
from serve_app.grpc.wire import parse
from serve_app.protocols.open_inference.protos.open_inference_pb2 import InferParameter, ModelInferRequest


def full_request() -> ModelInferRequest:
    request = ModelInferRequest(model_name="analyze", id="1", raw_input_contents=[b"\xff" * 1000, b""])
    request.parameters["threshold"].double_param = 0.5
    request.parameters["timeout"].int64_param = -1
    request.inputs.add(name="images", datatype="UINT8", shape=[1, 2, -3]).contents.uint_contents.extend([1, 2, 300])
    request.inputs[0].contents.fp32_contents.append(0.5)
    request.outputs.add(name="boxes").parameters["binary_data"].bool_param = True
    return request


def outcome(parse: Callable[[bytes], Message], data: bytes) -> bytes | str | None:
    """The message in its canonical form; None where it is refused as malformed, other refusals as they are."""
    try:
        return parse(data).SerializeToString(deterministic=True)
    except DecodeError:
        return None
    except ValueError as error:
        return str(error) if "wire type" in str(error) else None


def test_a_message_of_every_wire_type_is_parsed() -> None:
    assert parse(ModelInferRequest, full_request().SerializeToString()) == full_request()


def test_fields_that_are_not_known_are_skipped() -> None:
    assert parse(ModelInferRequest, b"\xfa\x07\x03abc\xf8\x07\x01\xfd\x07abcd\xf9\x07abcdefgh") is not None


@pytest.mark.parametrize("field", [b"\x2a\x00", b"\x32\x00", b"\x3a\x00", b"\x22\x04\x0a\x02ab"])
def test_too_many_fields_are_refused_before_they_are_parsed(field: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_MEMORY", 100 * wire.FIELD_MEMORY)
    assert parse(ModelInferRequest, field * 20) is not None
    with pytest.raises(ValueError, match="too many fields"):
        parse(ModelInferRequest, field * 101)


@pytest.mark.parametrize("numbers", ["shape", "contents.int64_contents"])
def test_too_many_packed_numbers_are_refused(numbers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    request = ModelInferRequest()
    tensor = request.inputs.add()
    many = tensor.shape if numbers == "shape" else tensor.contents.int64_contents
    many.extend([1] * 5000)
    data = request.SerializeToString()
    assert parse(ModelInferRequest, data) == request
    monkeypatch.setattr(wire, "MAX_MEMORY", 5000 * wire.PACKED_MEMORY)
    with pytest.raises(ValueError, match="too many fields or numbers"):
        parse(ModelInferRequest, data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x0a", "truncated"),
        (b"\x0a\x05ab", "truncated"),
        (b"\x2a\x02\x0a\x05ab", "truncated"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "truncated"),
        (b"\xfd\x07ab", "truncated"),
        (b"\xf9\x07ab", "truncated"),
        (b"\x80", "truncated"),
        (b"\xff" * 11, "more than 64 bits"),
        (b"\x0b\x0c", "wire type"),
        (b"\x0f", "wire type"),
        (b"\x0a\x02\xff\xfe", "is not a inference.ModelInferRequest"),
        (b"\x00\x00", "is not a inference.ModelInferRequest"),
    ],
)
def test_malformed_messages_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(ModelInferRequest, data)


@given(st.data())
def test_a_damaged_message_is_parsed_or_refused(data: st.DataObject) -> None:
    damaged = bytearray(full_request().SerializeToString()[:80])
    for position in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=4)):
        damaged[position] = data.draw(st.integers(0, 255))
    theirs = outcome(ModelInferRequest.FromString, bytes(damaged))
    ours = outcome(partial(parse, ModelInferRequest), bytes(damaged))
    assert ours == theirs or (isinstance(ours, str) and "wire type" in ours)


@given(st.binary(max_size=40))
def test_whatever_protobuf_accepts_of_any_bytes_is_accepted_here(data: bytes) -> None:
    theirs = outcome(InferParameter.FromString, data)
    ours = outcome(partial(parse, InferParameter), data)
    # Groups are the exception, which proto3 does not have.
    assert ours == theirs or (isinstance(ours, str) and "wire type" in ours)
