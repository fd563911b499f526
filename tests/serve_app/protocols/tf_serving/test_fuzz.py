"""No tensor makes the TensorFlow Serving services fail."""

import grpc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve_app.protocols.tf_serving.protos.tensorflow_pb2 import TensorProto
from serve_app.protocols.tf_serving.protos.tensorflow_serving_pb2 import ModelSpec, PredictRequest
from serve_app.protocols.tf_serving.protos.tensorflow_serving_pb2_grpc import PredictionServiceStub
from serve_app.protocols.tf_serving.tensors import shape_proto
from tests.serve_app.protocols.tf_serving.messages import INVALID

TENSORS = st.builds(
    lambda dtype, shape, content, ints, floats, strings: TensorProto(
        dtype=dtype,
        tensor_shape=shape_proto(tuple(shape)),
        tensor_content=content,
        int_val=ints,
        float_val=floats,
        string_val=strings,
    ),
    st.sampled_from([0, 1, 3, 4, 7, 9, 77]),
    st.lists(st.sampled_from([-1, 0, 1, 2, 3, 2**40]), max_size=5),
    st.binary(max_size=12),
    st.lists(st.integers(-2, 300), max_size=4),
    st.lists(st.floats(width=32), max_size=4),
    st.lists(st.binary(max_size=6), max_size=3),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(inputs=st.dictionaries(st.sampled_from(["images", "score_threshold", "classes", "max_instances", ""]), TENSORS))
async def test_no_tensor_is_a_fault_of_ours(stub: PredictionServiceStub, inputs: dict[str, TensorProto]) -> None:
    request = PredictRequest(model_spec=ModelSpec(name="instance_segmentation"), inputs=inputs)
    call = stub.Predict(request)
    assert await call.code() in (grpc.StatusCode.OK, INVALID)
    assert (await call.details()) != "the service failed on this request"
