"""A client with TensorFlow's own generated stubs: ``python tensorflow_client.py ADDRESS PHOTO``, run by a test.

Our own stubs are loaded first, to show that both live in one process.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from serve_app.protocols.tf_serving.protos import tensorflow_serving_pb2

from tensorflow.core.framework import tensor_pb2, types_pb2  # isort: skip
from tensorflow_serving.apis import (  # isort: skip
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)


def make_ndarray(tensor: tensor_pb2.TensorProto) -> NDArray[Any]:
    """As ``tf.make_ndarray``, for the types that are answered."""
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    if tensor.dtype == types_pb2.DT_STRING:
        return np.array(list(tensor.string_val), np.object_).reshape(shape)
    dtype = {types_pb2.DT_FLOAT: "<f4", types_pb2.DT_INT32: "<i4"}[tensor.dtype]
    return np.frombuffer(tensor.tensor_content, dtype).reshape(shape)


def main(address: str, photo: str) -> None:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(address))
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "instance_segmentation"
    request.model_spec.version.value = 1
    images = request.inputs["images"]
    images.dtype = types_pb2.DT_STRING
    images.tensor_shape.dim.add(size=1)
    images.string_val.append(Path(photo).read_bytes())
    response = stub.Predict(request, timeout=30)
    outputs = {name: make_ndarray(tensor) for name, tensor in response.outputs.items()}

    metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    metadata.model_spec.name = "instance_segmentation"
    signatures = get_model_metadata_pb2.SignatureDefMap()
    stub.GetModelMetadata(metadata, timeout=30).metadata["signature_def"].Unpack(signatures)

    request.model_spec.name = "unicorn"
    try:
        stub.Predict(request, timeout=30)
        refused = []
    except grpc.RpcError as error:
        refused = [error.code().name, *re.findall("unicorn", error.details())[:1]]

    spec = response.model_spec
    print(
        json.dumps(
            {
                "spec": [spec.name, spec.version.value, spec.signature_name],
                "shapes": {name: list(array.shape) for name, array in outputs.items()},
                "names": [name.decode() for name in outputs["detection_class_names"][0]],
                "signature": list(signatures.signature_def),
                "refused": refused,
                "beside": tensorflow_serving_pb2.__name__,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
