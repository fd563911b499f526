"""Messages of TensorFlow Serving's requests and answers."""

from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from serve_app.protocols.tf_serving.protos.tensorflow_pb2 import TensorProto
from serve_app.protocols.tf_serving.protos.tensorflow_serving_pb2 import ModelSpec, PredictRequest
from serve_app.protocols.tf_serving.tensors import shape_proto

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def files(*data: bytes) -> TensorProto:
    return TensorProto(dtype="DT_STRING", tensor_shape=shape_proto((len(data),)), string_val=data)


def pixels(array: NDArray[Any]) -> TensorProto:
    dtype = "DT_UINT8" if array.dtype == np.uint8 else "DT_FLOAT"
    return TensorProto(dtype=dtype, tensor_shape=shape_proto(array.shape), tensor_content=array.tobytes())


def predict(model: str, images: TensorProto, *output_filter: str, **options: TensorProto) -> PredictRequest:
    return PredictRequest(
        model_spec=ModelSpec(name=model), inputs={"images": images, **options}, output_filter=output_filter
    )


def number(value: float, **fields: Any) -> TensorProto:
    return TensorProto(dtype="DT_FLOAT", float_val=[value], **fields)
