"""Messages of both gRPC protocols; the first byte of an input chooses the method."""

from benchmarks.fuzzing.pictures import encoded, picture
from benchmarks.fuzzing.service import LIMITS, GrpcMethods, pipeline
from benchmarks.fuzzing.target import Target
from serve_app.protocols.open_inference.protos import open_inference_pb2 as v2
from serve_app.protocols.open_inference.service import OpenInferenceService
from serve_app.protocols.tf_serving.protos import tensorflow_pb2 as tf
from serve_app.protocols.tf_serving.protos import tensorflow_serving_pb2 as serving
from serve_app.protocols.tf_serving.service import ModelService, PredictionService

PICTURE = encoded(picture(), "PNG")


def open_inference_grpc() -> Target:
    """The Open Inference Protocol: every method that takes more than nothing."""
    service = OpenInferenceService(pipeline(), LIMITS)
    tensor = v2.ModelInferRequest.InferInputTensor(name="images", datatype="BYTES", shape=[1])
    request = v2.ModelInferRequest(model_name="analyze", id="1", inputs=[tensor])
    raw = v2.ModelInferRequest()
    raw.CopyFrom(request)
    raw.raw_input_contents.append(len(PICTURE).to_bytes(4, "little") + PICTURE)
    request.inputs[0].contents.bytes_contents.append(PICTURE)
    request.parameters["face_threshold"].double_param = 0.3
    request.outputs.add(name="instance_segmentation.dense_masks")
    methods = GrpcMethods(
        service.ModelInfer, service.ModelMetadata, service.ModelConfig, service.ModelStatistics, service.RepositoryIndex
    )
    seeds = {"contents": b"\0" + request.SerializeToString(), "raw": b"\0" + raw.SerializeToString()}
    asked = v2.ModelMetadataRequest(name="analyze", version="1").SerializeToString()
    return Target({**seeds, **{f"method{n}": bytes([n]) + asked for n in range(1, 5)}}, methods.check)


def tf_serving_grpc() -> Target:
    """TensorFlow Serving: every method."""
    served = pipeline()
    prediction, models = PredictionService(served, LIMITS), ModelService(served)
    spec = serving.ModelSpec(name="instance_segmentation", version={"value": 1}, signature_name="serving_default")
    one = tf.TensorShapeProto(dim=[{"size": 1}])
    files = tf.TensorProto(dtype="DT_STRING", tensor_shape=one, string_val=[PICTURE])
    shape = tf.TensorShapeProto(dim=[{"size": size} for size in (1, 2, 2, 3)])
    pixels = tf.TensorProto(dtype="DT_FLOAT", tensor_shape=shape, float_val=[50.5] * 12)
    threshold = tf.TensorProto(dtype="DT_FLOAT", float_val=[0.3])
    inputs = {"images": files, "score_threshold": threshold}
    requests = (
        serving.PredictRequest(model_spec=spec, inputs=inputs, output_filter=["detection_boxes", "detection_masks"]),
        serving.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"]),
        serving.GetModelStatusRequest(model_spec=spec),
    )
    seeds = {f"method{n}": bytes([n]) + request.SerializeToString() for n, request in enumerate(requests)}
    of_pixels = serving.PredictRequest(model_spec=spec, inputs={"images": pixels}).SerializeToString()
    methods = GrpcMethods(prediction.Predict, prediction.GetModelMetadata, models.GetModelStatus)
    return Target({**seeds, "pixels": b"\0" + of_pixels}, methods.check)
