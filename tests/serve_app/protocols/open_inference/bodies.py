"""Bodies of requests over REST, and what every error of theirs looks like."""

import base64
from typing import Any

import httpx

LENGTH = "Inference-Header-Content-Length"


def infer_json(photo: bytes, **changes: Any) -> dict[str, Any]:
    """A request with the picture in base64; ``changes`` override keys of the input, or of the request."""
    tensor = {"name": "images", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(photo).decode()]}
    request: dict[str, Any] = {"inputs": [tensor]}
    for key, value in changes.items():
        (tensor if key in ("name", "datatype", "shape", "data", "tensor_parameters") else request)[key] = value
    if "tensor_parameters" in tensor:
        tensor["parameters"] = tensor.pop("tensor_parameters")
    return request


def is_error(response: httpx.Response) -> str:
    """The message of the one form that errors have."""
    content = response.json()
    assert list(content) == ["error"]
    assert isinstance(content["error"], str)
    return content["error"]


def binary_input(size: Any, **changes: Any) -> dict[str, Any]:
    tensor = {"name": "images", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": size}}
    return {"inputs": [{**tensor, **changes}]}
