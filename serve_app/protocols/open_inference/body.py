"""Bodies of the Open Inference Protocol V2 over REST: JSON, and JSON followed by the bytes of tensors.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import orjson

from serve_app.analysis import EncodedImage
from serve_app.http.bounded_json import PIXELS_MEMORY, parse_json
from serve_app.http.dialect import decode_base64
from serve_app.http.errors import RequestError
from serve_app.protocols.open_inference.inference import (
    HINTS,
    INPUT,
    OpenInference,
    Parameter,
    bad_input,
    check_tensor_parameters,
)
from serve_app.protocols.open_inference.tensors import Image, Tensor, images_from_raw, images_from_values

MAX_RANK = 8


@dataclass(frozen=True, slots=True)
class InferBody:
    """A checked body of ``/infer``, but for the pictures themselves and the meaning of parameters."""

    images: list[Image]
    client_id: str | None = None
    """The client's ``id``, which the answer repeats."""
    parameters: dict[str, Parameter] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    binary: Mapping[str, bool] = field(default_factory=dict)
    """Whether an output is sent as bytes, where the request says it of that output."""
    binary_default: bool = False
    """The same for all other outputs."""


def parse_body(data: bytes, json_length: int | None, model: str, service: OpenInference) -> InferBody:
    """Parse and check a body whose first ``json_length`` bytes are JSON; None for all of them.

    With a length of 0 the body is one picture file and every output is sent as bytes. In JSON, picture files are
    base64. Raises RequestError or InferenceError.
    """
    if json_length == 0:
        service.check_input(model, INPUT, "BYTES", [1])
        return InferBody([EncodedImage(data)], binary_default=True)
    if json_length is not None and json_length > len(data):
        raise _bad(f"Inference-Header-Content-Length is {json_length}, but the body has {len(data)} bytes")
    view = memoryview(data)
    content = _load(view[:json_length])
    client_id = content.get("id")
    if client_id is not None and not isinstance(client_id, str):
        raise _bad("id must be a string")
    parameters = _parameters(content, "the request")
    binary_default = parameters.pop("binary_data_output", False)
    if not isinstance(binary_default, bool):
        raise _bad("parameter binary_data_output must be true or false")
    names, binary = _outputs(content)
    images = _images(content, view[len(data) if json_length is None else json_length :], model, service)
    return InferBody(images, client_id, parameters, names, binary, binary_default)


def write_body(answer: dict[str, Any], tensors: Sequence[Tensor], body: InferBody) -> tuple[bytes, int | None]:
    """The answer with its outputs, and the length of its JSON where bytes of tensors follow it."""
    outputs: list[dict[str, Any]] = []
    chunks = []
    for tensor in tensors:
        output: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if body.binary.get(tensor.name, body.binary_default):
            chunks.append(tensor.raw())
            output["parameters"] = {"binary_data_size": len(chunks[-1])}
        elif isinstance(tensor.values, list):
            output["data"] = [element.decode("utf-8") for element in tensor.values]
        else:
            output["data"] = np.ascontiguousarray(tensor.values).reshape(-1)
        outputs.append(output)
    json = orjson.dumps({**answer, "outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)
    return b"".join([json, *chunks]), len(json) if chunks else None


def _load(data: memoryview) -> dict[str, Any]:
    try:
        content = parse_json(bytes(data), PIXELS_MEMORY)
    except RequestError as error:
        advice = "where bytes follow it, Inference-Header-Content-Length must be its length"
        raise _bad(f"{error.message}; {advice}") from None
    if not isinstance(content, dict):
        raise _bad("the JSON must be an object")
    return content


def _object_of_parameters(holder: Mapping[str, Any], where: str) -> dict[str, Any]:
    parameters = holder.get("parameters")
    if parameters is None:  # left out, or null as clients write it that serialise every field
        return {}
    if not isinstance(parameters, dict):
        raise _bad(f"the parameters of {where} must be an object")
    return parameters


def _parameters(holder: Mapping[str, Any], where: str) -> dict[str, Any]:
    parameters = {name: value for name, value in _object_of_parameters(holder, where).items() if name not in HINTS}
    for name, value in parameters.items():
        if type(value) not in (bool, int, float, str):
            raise _bad(f"parameter {name[:100]!r} of {where} must be a string, a number, true or false")
    return parameters


def _only_parameter(holder: Mapping[str, Any], where: str, known: str, kind: type) -> Any:
    """The value of the one parameter of a tensor that means something here, or None.

    Others are optional by the protocol: clients of other servers send ``content_type`` and the like.
    """
    parameters = _object_of_parameters(holder, where)
    check_tensor_parameters(parameters, where)
    value = parameters.get(known)
    if known in parameters and type(value) is not kind:
        raise _bad(f"parameter {known} of {where} must be of type {kind.__name__}")
    return value


def _objects(content: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """A list of objects that have a name each."""
    items = content.get(key, [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise _bad(f"{key} must be a list of objects")
    for item in items:
        if not isinstance(item.get("name"), str):
            raise _bad(f"the name of each of {key} must be a string")
    return items


def _outputs(content: Mapping[str, Any]) -> tuple[list[str], dict[str, bool]]:
    names, binary = [], {}
    for output in _objects(content, "outputs"):
        name = output["name"]
        asked = _only_parameter(output, f"output {name[:100]!r}", "binary_data", bool)
        if asked is not None:
            binary[name] = asked
        names.append(name)
    return names, binary


def _images(content: Mapping[str, Any], rest: memoryview, model: str, service: OpenInference) -> list[Image]:
    inputs = _objects(content, "inputs")
    if len(inputs) != 1:
        raise _bad(f"expected 1 input but got {len(inputs)} inputs for model {model}; its input is {INPUT}")
    tensor = inputs[0]
    datatype, shape = tensor.get("datatype"), tensor.get("shape")
    if not isinstance(datatype, str):
        raise _bad(f"input {INPUT}: the datatype must be a string")
    if not isinstance(shape, list) or len(shape) > MAX_RANK or not all(type(size) is int for size in shape):
        raise _bad(f"input {INPUT}: the shape must be a list of at most {MAX_RANK} whole numbers")
    service.check_input(model, tensor["name"], datatype, shape)
    size = _only_parameter(tensor, f"input {INPUT}", "binary_data_size", int)
    if (size is None) == ("data" not in tensor):
        raise _bad(f"input {INPUT} must have either data or the parameter binary_data_size")
    if len(rest) != (size or 0):
        raise _bad(f"input {INPUT} announces {size or 0} bytes after the JSON; there are {len(rest)}")
    try:
        if size is not None:
            return images_from_raw(datatype, shape, rest)
        values = _flat(tensor["data"], shape)
        if datatype == "BYTES":
            values = [decode_base64(value, number) for number, value in enumerate(values, 1)]
        elif not set(map(type, values)) <= {int}:
            raise ValueError("UINT8 data must be whole numbers from 0 to 255")
        return images_from_values(datatype, shape, values)
    except ValueError as error:
        raise bad_input(error) from None


def _flat(data: object, shape: Sequence[int]) -> list[Any]:
    """The elements of JSON data in row-major order, which may be nested as the shape says, or flat."""
    if not isinstance(data, list):
        raise ValueError("data must be a list")
    if not data or not isinstance(data[0], list):
        return data
    rows = [data]
    for size in shape:
        if set(map(type, rows)) != {list} or set(map(len, rows)) != {size}:
            raise ValueError(f"nested data must be lists as the shape {list(shape)} says")
        rows = list(chain.from_iterable(rows))
    return rows


def _bad(message: str) -> RequestError:
    return RequestError(400, "bad_request", message)
