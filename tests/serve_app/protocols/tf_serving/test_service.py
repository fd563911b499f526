import asyncio
import os
import pickle
import subprocess
import sys
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from deployments.calls import InstanceSegmentationOptions, MaskDetectionOptions
from deployments.imaging.draw import draw
from deployments.results import Box, Face
from serve_app.grpc.call import CallRefused
from serve_app.protocols import detections
from serve_app.protocols.tf_serving.protos.tensorflow_pb2 import TensorProto
from serve_app.protocols.tf_serving.protos.tensorflow_serving_pb2 import (
    GetModelMetadataRequest,
    GetModelStatusRequest,
    ModelSpec,
    ModelVersionStatus,
    PredictRequest,
    PredictResponse,
    SignatureDefMap,
)
from serve_app.protocols.tf_serving.protos.tensorflow_serving_pb2_grpc import ModelServiceStub, PredictionServiceStub
from serve_app.protocols.tf_serving.tensors import shape_proto
from tests.photos import astronaut, png
from tests.serve_app.conftest import HEIGHT, WIDTH, FakeBranch, person_mask

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NUMPY = {1: "<f4", 3: "<i4"}
CLIENT = Path(__file__).with_name("tensorflow_client.py")


@pytest.fixture
async def stub(tf_address: str) -> AsyncIterator[PredictionServiceStub]:
    async with grpc.aio.insecure_channel(tf_address) as channel:
        yield PredictionServiceStub(channel)


@pytest.fixture
async def models(tf_address: str) -> AsyncIterator[ModelServiceStub]:
    async with grpc.aio.insecure_channel(tf_address) as channel:
        yield ModelServiceStub(channel)


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


def make_ndarray(tensor: Any) -> NDArray[Any]:
    """As ``tf.make_ndarray`` reads the types that are answered: raw content for numbers, ``string_val`` for strings."""
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    if tensor.dtype == 7:
        assert len(tensor.string_val) == np.prod(shape)
        return np.array(list(tensor.string_val), np.object_).reshape(shape)
    return np.frombuffer(tensor.tensor_content, NUMPY[tensor.dtype]).reshape(shape)


def arrays(response: PredictResponse) -> dict[str, NDArray[Any]]:
    return {name: make_ndarray(tensor) for name, tensor in response.outputs.items()}


async def test_faces(stub: PredictionServiceStub, photo: bytes, faces: FakeBranch, instances: FakeBranch) -> None:
    response = await stub.Predict(predict("mask_detection", files(photo)))

    found = arrays(response)
    assert set(found) == {
        "detection_boxes",
        "detection_classes",
        "detection_class_names",
        "detection_scores",
        "num_detections",
        "annotated_image",
    }
    np.testing.assert_allclose(found["detection_boxes"], [[[6 / 48, 18.123456 / 64, 18 / 48, 30 / 64]]], rtol=1e-6)
    assert found["detection_classes"].tolist() == [[2.0]]
    assert found["detection_class_names"].tolist() == [[b"MASK"]]
    assert found["detection_scores"].tolist() == [[np.float32(0.912345678)]]
    assert found["num_detections"].tolist() == [1.0]
    drawn = np.asarray(Image.open(BytesIO(found["annotated_image"][0])))
    np.testing.assert_array_equal(drawn, draw(np.asarray(Image.open(BytesIO(photo))), faces.results, []))
    assert response.model_spec == ModelSpec(
        name="mask_detection", version={"value": 1}, signature_name="serving_default"
    )
    assert instances.calls == []


async def test_boxes_end_at_the_picture(stub: PredictionServiceStub, photo: bytes, faces: FakeBranch) -> None:
    faces.results = [Face(Box(-9, -4, 70, 24), 0.9, "NO MASK", 0.8)]

    found = arrays(await stub.Predict(predict("mask_detection", files(photo), "detection_boxes", "detection_classes")))

    assert found["detection_boxes"].tolist() == [[[0, 0, 0.5, 1]]]
    assert found["detection_classes"].tolist() == [[1]]


async def test_instances_with_masks(stub: PredictionServiceStub, photo: bytes) -> None:
    found = arrays(await stub.Predict(predict("instance_segmentation", files(photo, photo))))

    assert found["detection_boxes"].shape == (2, 2, 4)
    assert found["detection_classes"].tolist() == [[57.0, 1.0]] * 2
    assert found["detection_masks"].shape == (2, 2, 64, 64)
    exact = coco.decode(orjson.loads(found["detection_masks_rle"][0, 1])).astype(bool)
    np.testing.assert_array_equal(exact, person_mask())
    # Put back into its box, as reframe_box_masks_to_image_masks does, the dense mask is the person's.
    top, left, bottom, right = np.rint(found["detection_boxes"][0, 1] * [HEIGHT, WIDTH, HEIGHT, WIDTH]).astype(int)
    inside = Image.fromarray(found["detection_masks"][0, 1]).resize((right - left, bottom - top), Image.Resampling.BOX)
    reframed = np.zeros((HEIGHT, WIDTH), bool)
    reframed[top:bottom, left:right] = np.asarray(inside) > 0.5
    assert (reframed & exact).sum() / (reframed | exact).sum() > 0.98


async def test_analyze_answers_for_both(stub: PredictionServiceStub, photo: bytes) -> None:
    found = arrays(await stub.Predict(predict("analyze", files(photo))))

    assert found["mask_detection.detection_class_names"].tolist() == [[b"MASK"]]
    assert found["instance_segmentation.num_detections"].tolist() == [2.0]
    assert found["instance_faces"].tolist() == [[-1, 0]]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
async def test_pixels_are_found_as_files_are(
    stub: PredictionServiceStub, photo: bytes, faces: FakeBranch, dtype: type[np.generic]
) -> None:
    image = np.asarray(Image.open(BytesIO(photo)))

    found = arrays(await stub.Predict(predict("mask_detection", pixels(np.stack([image, 255 - image]).astype(dtype)))))

    np.testing.assert_array_equal(faces.images[0], image)
    np.testing.assert_array_equal(faces.images[1], 255 - image)
    assert found["num_detections"].tolist() == [1.0, 1.0]
    assert Image.open(BytesIO(found["annotated_image"][1])).size == (WIDTH, HEIGHT)


async def test_values_that_do_not_fill_the_shape_repeat(stub: PredictionServiceStub, faces: FakeBranch) -> None:
    for values in ({"dtype": "DT_UINT8", "int_val": [9, 7]}, {"dtype": "DT_FLOAT", "float_val": [9, 6.6]}):
        await stub.Predict(predict("mask_detection", TensorProto(tensor_shape=shape_proto((1, 2, 2, 3)), **values)))
        assert faces.images[-1].ravel().tolist() == [9] + [7] * 11


async def test_nothing_found(stub: PredictionServiceStub, photo: bytes, instances: FakeBranch) -> None:
    instances.results = []

    found = arrays(await stub.Predict(predict("instance_segmentation", files(photo))))

    assert found["detection_boxes"].shape == (1, 0, 4)
    assert found["detection_masks"].shape == (1, 0, 64, 64)
    assert found["detection_masks_rle"].shape == (1, 0)
    assert found["num_detections"].tolist() == [0.0]


async def test_output_filter(stub: PredictionServiceStub, photo: bytes) -> None:
    names = ("num_detections", "detection_scores")
    assert set(arrays(await stub.Predict(predict("mask_detection", files(photo), *names)))) == set(names)


async def test_large_annotated_pictures_are_shrunk(
    stub: PredictionServiceStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detections, "MAX_PICTURE_PIXELS", 10_000)
    large = np.zeros((500, 1000, 3), np.uint8)

    found = arrays(await stub.Predict(predict("mask_detection", files(png(large)), "annotated_image")))

    width, height = Image.open(BytesIO(found["annotated_image"][0])).size
    assert 9_500 < width * height <= 10_000
    assert width / height == pytest.approx(2, rel=0.02)


async def test_options_reach_the_models(
    stub: PredictionServiceStub, photo: bytes, faces: FakeBranch, instances: FakeBranch
) -> None:
    request = predict(
        "analyze",
        files(photo),
        face_threshold=number(0.75),
        score_threshold=number(0.25, tensor_shape=shape_proto((1,))),
        classes=files(b"person"),
        max_instances=TensorProto(dtype="DT_INT32", tensor_content=np.int32(3).tobytes()),
    )

    await stub.Predict(request, metadata=[("x-request-id", "abc"), ("traceparent", "nonsense")])

    assert faces.calls[0].options == MaskDetectionOptions(0.75)
    assert instances.calls[0].options == InstanceSegmentationOptions(0.25, ("person",), 3)
    assert faces.calls[0].request_id == "abc"
    assert faces.calls[0].traceparent is None


@pytest.mark.parametrize("spec", [{"version": {"value": 1}}, {"version_label": "stable"}, {}])
async def test_metadata(stub: PredictionServiceStub, spec: dict[str, Any]) -> None:
    request = GetModelMetadataRequest(
        model_spec=ModelSpec(name="mask_detection", **spec), metadata_field=["signature_def"]
    )

    response = await stub.GetModelMetadata(request)

    assert response.model_spec.version.value == 1
    signatures = SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    signature = signatures.signature_def["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    assert set(signature.inputs) == {"images", "face_threshold"}
    assert signature.inputs["images"].dtype == 7
    assert [dim.size for dim in signature.outputs["detection_boxes"].tensor_shape.dim] == [-1, -1, 4]


async def test_metadata_describes_the_answer(stub: PredictionServiceStub, photo: bytes) -> None:
    for model in ("mask_detection", "instance_segmentation", "analyze"):
        request = GetModelMetadataRequest(model_spec=ModelSpec(name=model), metadata_field=["signature_def"])
        signatures = SignatureDefMap()
        (await stub.GetModelMetadata(request)).metadata["signature_def"].Unpack(signatures)
        stated = signatures.signature_def["serving_default"].outputs
        given = (await stub.Predict(predict(model, files(photo)))).outputs
        assert set(stated) == set(given)
        for name, tensor in given.items():
            assert tensor.dtype == stated[name].dtype
            sizes = [dim.size for dim in stated[name].tensor_shape.dim]
            assert len(tensor.tensor_shape.dim) == len(sizes)
            assert all(dim.size == size for dim, size in zip(tensor.tensor_shape.dim, sizes, strict=True) if size != -1)


async def test_status(models: ModelServiceStub, instances: FakeBranch) -> None:
    instances.alive = False
    expected = {"mask_detection": ModelVersionStatus.AVAILABLE, "analyze": ModelVersionStatus.LOADING}
    for name, state in expected.items():
        (version,) = (
            await models.GetModelStatus(GetModelStatusRequest(model_spec=ModelSpec(name=name)))
        ).model_version_status
        assert (version.version, version.state, version.status.error_code) == (1, state, 0)


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


def test_requests_and_refusals_travel_between_processes() -> None:
    request = predict("mask_detection", files(b"x"))
    assert pickle.loads(pickle.dumps(request)) == request
    refusal = pickle.loads(pickle.dumps(CallRefused(INVALID, "why")))
    assert (refusal.code, refusal.details) == (INVALID, "why")


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


@pytest.fixture(scope="session")
def tensorflow_stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TensorFlow's own stubs, in a folder of their own: the package takes the name ``tensorflow``."""
    folder = tmp_path_factory.mktemp("tensorflow_stubs")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder)]
    installed = subprocess.run(
        [*command, "tensorflow-protobuf==2.11.0"], capture_output=True, text=True, timeout=120, check=False
    )
    if installed.returncode != 0:
        pytest.skip("pip cannot install tensorflow-protobuf here")
    return folder


async def test_a_client_with_tensorflows_own_stubs(
    tf_address: str, tensorflow_stubs: Path, tmp_path: Path, instances: FakeBranch
) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(png(np.ascontiguousarray(astronaut()[:HEIGHT, :WIDTH])))
    root = Path(__file__).parents[4]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(CLIENT),
        tf_address,
        str(photo),
        env={**os.environ, "PYTHONPATH": f"{tensorflow_stubs}{os.pathsep}{root}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == 0, errors.decode()
    found = orjson.loads(output)
    assert found["spec"] == ["instance_segmentation", 1, "serving_default"]
    assert found["shapes"]["detection_boxes"] == [1, 2, 4]
    assert found["shapes"]["detection_masks"] == [1, 2, 64, 64]
    assert found["names"] == ["chair", "person"]
    assert found["signature"] == ["serving_default"]
    assert found["refused"] == ["NOT_FOUND", "unicorn"]
    assert found["beside"] == "serve_app.protocols.tf_serving.protos.tensorflow_serving_pb2"
