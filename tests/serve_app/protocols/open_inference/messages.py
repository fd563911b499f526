"""Messages of requests over gRPC, and how they are refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
from tritonclient.grpc import InferInput

from serve_app.protocols.open_inference.protos import open_inference_pb2 as pb

METHOD = "/inference.GRPCInferenceService/ModelInfer"
Refused = Callable[[bytes | pb.ModelInferRequest], Any]


def files(*data: bytes) -> InferInput:
    tensor = InferInput("images", [len(data)], "BYTES")
    tensor.set_data_from_numpy(np.array([*data, None], object)[:-1])
    return tensor


def infer_request(photo: bytes, **changes: Any) -> pb.ModelInferRequest:
    """A request with the picture in ``contents``; ``changes`` override fields of the input, or of the request."""
    tensor = {"name": "images", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": [photo]}}
    request: dict[str, Any] = {"model_name": "analyze"}
    for key, value in changes.items():
        (tensor if key in ("name", "datatype", "shape", "contents", "tensor_parameters") else request)[key] = value
    if "tensor_parameters" in tensor:
        tensor["parameters"] = tensor.pop("tensor_parameters")
    return pb.ModelInferRequest(**{"inputs": [tensor], **request})
