"""What the TensorFlow Serving services refuse, and how."""

from typing import Any

import grpc
import numpy as np
import pytest

from serve_app.protocols import detections
from serve_app.protocols.tf_serving.protos.tensorflow_pb2 import TensorProto
from serve_app.protocols.tf_serving.protos.tensorflow_serving_pb2 import (
    GetModelMetadataRequest,
    GetModelStatusRequest,
    ModelSpec,
    PredictRequest,
)
from serve_app.protocols.tf_serving.protos.tensorflow_serving_pb2_grpc import ModelServiceStub, PredictionServiceStub
from serve_app.protocols.tf_serving.tensors import shape_proto
from tests.serve_app.conftest import FakeBranch
from tests.serve_app.protocols.tf_serving.messages import INVALID, files, number, pixels, predict


async def assert_refused(call: Any, code: grpc.StatusCode, *named: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    assert refused.value.code() == code
    for name in named:
        assert name in refused.value.details()


SPECS = [
    (ModelSpec(), INVALID, "model_spec.name"),
    (ModelSpec(name="unicorn"), grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(unicorn)"),
    (ModelSpec(name="mask_detection/1"), grpc.StatusCode.NOT_FOUND, "mask_detection/1"),
    (ModelSpec(name="x" * 100_000), grpc.StatusCode.NOT_FOUND, "xxx"),
    (ModelSpec(name="mask_detection", version={"value": 7}), grpc.StatusCode.NOT_FOUND, "Specific(mask_detection, 7)"),
    (ModelSpec(name="mask_detection", version={}), grpc.StatusCode.NOT_FOUND, "Specific(mask_detection, 0)"),
    (ModelSpec(name="mask_detection", version_label="canary"), INVALID, "label: canary"),
]


@pytest.mark.parametrize(("spec", "code", "named"), SPECS)
async def test_wrong_models(
    stub: PredictionServiceStub,
    models: ModelServiceStub,
    photo: bytes,
    spec: ModelSpec,
    code: grpc.StatusCode,
    named: str,
) -> None:
    await assert_refused(stub.Predict(PredictRequest(model_spec=spec, inputs={"images": files(photo)})), code, named)
    metadata = GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
    await assert_refused(stub.GetModelMetadata(metadata), code, named)
    await assert_refused(models.GetModelStatus(GetModelStatusRequest(model_spec=spec)), code, named)


async def test_wrong_signature(stub: PredictionServiceStub, photo: bytes) -> None:
    request = predict("mask_detection", files(photo))
    request.model_spec.signature_name = "classify"
    await assert_refused(stub.Predict(request), grpc.StatusCode.FAILED_PRECONDITION, 'signature key "classify"')


@pytest.mark.parametrize("fields", [[], ["graph_def"], ["signature_def", "graph_def"]])
async def test_wrong_metadata_fields(stub: PredictionServiceStub, fields: list[str]) -> None:
    request = GetModelMetadataRequest(model_spec=ModelSpec(name="analyze"), metadata_field=fields)
    await assert_refused(stub.GetModelMetadata(request), INVALID, fields[-1] if fields else "metadata_field")


UINT8 = {"dtype": "DT_UINT8", "tensor_shape": shape_proto((1, 1, 1, 3))}
FLOAT = {"dtype": "DT_FLOAT", "tensor_shape": shape_proto((1, 1, 1, 3))}
IMAGES: dict[str, tuple[TensorProto, str]] = {
    "nothing": (TensorProto(), "DT_INVALID"),
    "wrong dtype": (TensorProto(dtype="DT_INT32", int_val=[1]), "DT_INT32"),
    "half": (TensorProto(dtype="DT_HALF"), "DT_HALF"),
    "a dtype of the future": (TensorProto(dtype=99), "99"),
    "a scalar string": (TensorProto(dtype="DT_STRING", string_val=[b"x"]), "[N]"),
    "strings of rank 2": (
        TensorProto(dtype="DT_STRING", tensor_shape=shape_proto((1, 1)), string_val=[b"x"]),
        "[1, 1]",
    ),
    "no strings": (files(), "[0]"),
    "too many strings": (files(*[b"x"] * 9), "1 to 8"),
    "fewer strings than stated": (
        TensorProto(dtype="DT_STRING", tensor_shape=shape_proto((2,)), string_val=[b"x"]),
        "there are 1",
    ),
    "more strings than stated": (
        TensorProto(dtype="DT_STRING", tensor_shape=shape_proto((1,)), string_val=[b"x"] * 2),
        "there are 2",
    ),
    "strings as content": (
        TensorProto(dtype="DT_STRING", tensor_shape=shape_proto((1,)), tensor_content=b"x"),
        "string_val",
    ),
    "a negative count": (TensorProto(dtype="DT_STRING", tensor_shape=shape_proto((-1,))), "negative"),
    "no picture": (files(b"hello"), "element 0"),
    "an empty picture": (files(b""), "empty"),
    "unknown rank": (TensorProto(dtype="DT_UINT8", tensor_shape={"unknown_rank": True}, tensor_content=b"x"), "rank"),
    "rank 100": (TensorProto(dtype="DT_UINT8", tensor_shape=shape_proto((1,) * 100), tensor_content=b"x"), "rank"),
    "rank 3": (pixels(np.zeros((4, 4, 3), np.uint8)), "[N, H, W, 3], not [4, 4, 3]"),
    "four channels": (pixels(np.zeros((1, 4, 4, 4), np.uint8)), "[1, 4, 4, 4]"),
    "channels first": (pixels(np.zeros((1, 3, 4, 4), np.float32)), "[1, 3, 4, 4]"),
    "no height": (pixels(np.zeros((1, 0, 4, 3), np.uint8)), "[1, 0, 4, 3]"),
    "no images": (pixels(np.zeros((0, 4, 4, 3), np.uint8)), "[0, 4, 4, 3]"),
    "nine images": (pixels(np.zeros((9, 1, 1, 3), np.uint8)), "limit of 8"),
    "a huge image": (
        TensorProto(dtype="DT_UINT8", tensor_shape=shape_proto((1, 2**20, 2**20, 3)), int_val=[0]),
        "limit of 1000000",
    ),
    "an overflowing shape": (
        TensorProto(dtype="DT_UINT8", tensor_shape=shape_proto((1, 2**62, 2**62, 3)), int_val=[0]),
        "limit",
    ),
    "a small message, a large tensor": (
        TensorProto(dtype="DT_UINT8", tensor_shape=shape_proto((8, 900, 900, 3)), int_val=[0]),
        "takes 19440000 bytes",
    ),
    "short content": (TensorProto(tensor_content=b"xx", **UINT8), "needs 3 bytes"),
    "long content": (TensorProto(tensor_content=b"xxxx", **UINT8), "there are 4"),
    "floats as bytes": (TensorProto(tensor_content=b"xxx", **FLOAT), "needs 12 bytes"),
    "no values": (TensorProto(**UINT8), "int_val; there are 0"),
    "too many values": (TensorProto(int_val=[1] * 4, **UINT8), "there are 4"),
    "values of another type": (TensorProto(float_val=[1] * 3, **UINT8), "there are 0"),
    "above 255": (TensorProto(int_val=[256], **UINT8), "0 to 255"),
    "below 0": (TensorProto(int_val=[-1], **UINT8), "0 to 255"),
    "float above 255": (TensorProto(float_val=[255.5], **FLOAT), "from 0 to 255"),
    "float below 0": (TensorProto(float_val=[-1], **FLOAT), "from 0 to 255"),
    "NaN": (TensorProto(float_val=[1, float("nan"), 1], **FLOAT), "nan"),
    "infinity": (TensorProto(float_val=[float("inf")], **FLOAT), "inf"),
    "from 0 to 1": (TensorProto(float_val=[0.5], **FLOAT), "0 to 1"),
}


@pytest.mark.parametrize("case", IMAGES)
async def test_malformed_images(stub: PredictionServiceStub, photo: bytes, case: str) -> None:
    tensor, named = IMAGES[case]
    await assert_refused(stub.Predict(predict("mask_detection", tensor)), INVALID, "images", named)
    assert (await stub.Predict(predict("mask_detection", files(photo)))).outputs


OPTIONS: dict[str, tuple[dict[str, TensorProto], str]] = {
    "threshold over 1": ({"score_threshold": number(1.5)}, "score_threshold"),
    "threshold below 0": ({"score_threshold": number(-0.5)}, "score_threshold"),
    "threshold NaN": ({"score_threshold": number(float("nan"))}, "score_threshold"),
    "threshold infinite": ({"score_threshold": number(float("inf"))}, "score_threshold"),
    "threshold a string": ({"score_threshold": files(b"0.5")}, "score_threshold: the dtype must be DT_FLOAT"),
    "threshold a double": ({"score_threshold": TensorProto(dtype="DT_DOUBLE", double_val=[0.5])}, "DT_DOUBLE"),
    "threshold a vector": ({"score_threshold": number(0.5, tensor_shape=shape_proto((2,)))}, "[2]"),
    "threshold empty": ({"score_threshold": TensorProto(dtype="DT_FLOAT")}, "there are 0"),
    "another model's": ({"face_threshold": number(0.5)}, "face_threshold"),
    "unknown": ({"treshold": number(0.5)}, "treshold"),
    "no instances": ({"max_instances": TensorProto(dtype="DT_INT32", int_val=[0])}, "max_instances"),
    "a class unknown": ({"classes": files(b"unicorn")}, "unicorn"),
    "a class of bytes": ({"classes": files(b"\xff")}, "UTF-8"),
    "no classes": ({"classes": files()}, "classes"),
}


@pytest.mark.parametrize("case", OPTIONS)
async def test_malformed_options(stub: PredictionServiceStub, photo: bytes, case: str) -> None:
    options, named = OPTIONS[case]
    await assert_refused(stub.Predict(predict("instance_segmentation", files(photo), **options)), INVALID, named)


async def test_missing_images(stub: PredictionServiceStub) -> None:
    await assert_refused(
        stub.Predict(PredictRequest(model_spec=ModelSpec(name="mask_detection"))), INVALID, "images is missing"
    )


@pytest.mark.parametrize(
    ("names", "named"),
    [
        (["boxes"], "output tensor alias not found in signature: boxes"),
        (["detection_masks"], "detection_masks"),
        (["num_detections", "num_detections"], "duplicate output tensor alias"),
    ],
)
async def test_wrong_output_filter(stub: PredictionServiceStub, photo: bytes, names: list[str], named: str) -> None:
    await assert_refused(stub.Predict(predict("mask_detection", files(photo), *names)), INVALID, named)


async def test_messages_over_the_limit(stub: PredictionServiceStub) -> None:
    await assert_refused(
        stub.Predict(predict("mask_detection", files(b"x" * 1_000_001))),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "limit of 1000000 bytes",
    )


async def test_bytes_that_are_no_message(tf_address: str) -> None:
    async with grpc.aio.insecure_channel(tf_address) as channel:
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        with pytest.raises(grpc.aio.AioRpcError):
            await call(b"\xff\xff\xff")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("overloaded", grpc.StatusCode.RESOURCE_EXHAUSTED),
        ("unavailable", grpc.StatusCode.UNAVAILABLE),
        ("deadline_exceeded", grpc.StatusCode.DEADLINE_EXCEEDED),
        ("internal", grpc.StatusCode.INTERNAL),
    ],
)
async def test_failures_of_a_model(
    stub: PredictionServiceStub, photo: bytes, faces: FakeBranch, code: str, expected: grpc.StatusCode
) -> None:
    faces.fail(code)
    for model in ("mask_detection", "analyze"):
        await assert_refused(stub.Predict(predict(model, files(photo))), expected, f"mask_detection is {code}")


async def test_the_worst_failure_stands_for_all(stub: PredictionServiceStub, photo: bytes, faces: FakeBranch) -> None:
    faces.fail("unavailable")
    request = predict("mask_detection", files(b"no picture", photo))
    await assert_refused(stub.Predict(request), grpc.StatusCode.UNAVAILABLE, "element 1")


async def test_faults_of_ours_tell_nothing(stub: PredictionServiceStub, photo: bytes, faces: FakeBranch) -> None:
    faces.error = RuntimeError("secret")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.Predict(predict("mask_detection", files(photo)))
    assert refused.value.code() == grpc.StatusCode.INTERNAL
    assert refused.value.details() == "the service failed on this request"


@pytest.mark.parametrize("output", ["detection_masks", "annotated_image"])
async def test_answers_too_large_are_refused(
    stub: PredictionServiceStub, photo: bytes, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    monkeypatch.setattr(detections, "MAX_MASK_BYTES", 10_000)
    monkeypatch.setattr(detections, "MAX_PICTURE_BYTES", 100)
    request = predict("instance_segmentation", files(photo), output)
    await assert_refused(stub.Predict(request), grpc.StatusCode.RESOURCE_EXHAUSTED, output)
