import pickle
from io import BytesIO
from typing import Any

import numpy as np
import orjson
import pytest
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
    PredictResponse,
    SignatureDefMap,
)
from serve_app.protocols.tf_serving.protos.tensorflow_serving_pb2_grpc import ModelServiceStub, PredictionServiceStub
from serve_app.protocols.tf_serving.tensors import shape_proto
from tests.photos import png
from tests.serve_app.conftest import HEIGHT, WIDTH, FakeBranch, person_mask
from tests.serve_app.protocols.tf_serving.messages import INVALID, files, number, pixels, predict

NUMPY = {1: "<f4", 3: "<i4"}


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


def test_requests_and_refusals_travel_between_processes() -> None:
    request = predict("mask_detection", files(b"x"))
    assert pickle.loads(pickle.dumps(request)) == request
    refusal = pickle.loads(pickle.dumps(CallRefused(INVALID, "why")))
    assert (refusal.code, refusal.details) == (INVALID, "why")
