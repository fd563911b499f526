"""TensorFlow Serving's gRPC API of a service with the branch object_detection, as clients of an SSD call it."""

from collections.abc import AsyncIterator
from io import BytesIO

import grpc
import numpy as np
import pytest
from PIL import Image

from deployments.calls import ObjectDetectionOptions
from deployments.imaging.draw import draw
from serve_app.pipeline import Pipeline
from serve_app.protocols.tf_serving.protos.tensorflow_pb2 import TensorProto
from serve_app.protocols.tf_serving.protos.tensorflow_serving_pb2 import (
    GetModelStatusRequest,
    ModelSpec,
    PredictRequest,
)
from serve_app.protocols.tf_serving.protos.tensorflow_serving_pb2_grpc import ModelServiceStub, PredictionServiceStub
from tests.serve_app.conftest import HEIGHT, WIDTH, FakeBranch
from tests.serve_app.protocols.tf_serving.messages import files, number, pixels, predict
from tests.serve_app.protocols.tf_serving.test_service import arrays

SPEC = ModelSpec(name="object_detection")


@pytest.fixture
def pipeline(pipeline_of_three: Pipeline) -> Pipeline:
    return pipeline_of_three


@pytest.fixture
async def channel(tf_address: str) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(tf_address) as made:
        yield made


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> PredictionServiceStub:
    return PredictionServiceStub(channel)


@pytest.mark.parametrize("name", ["inputs", "input_tensor", "images"])
async def test_a_client_of_an_ssd_draws_its_boxes(
    stub: PredictionServiceStub, photo: bytes, faces: FakeBranch, instances: FakeBranch, name: str
) -> None:
    picture = np.asarray(Image.open(BytesIO(photo)))
    request = PredictRequest(model_spec=SPEC, inputs={name: pixels(picture[None])})
    outputs = arrays(await stub.Predict(request))
    found = []
    for row in range(int(outputs["num_detections"][0])):
        ymin, xmin, ymax, xmax = outputs["detection_boxes"][0, row] * (HEIGHT, WIDTH, HEIGHT, WIDTH)
        sides = [round(float(side)) for side in (xmin, ymin, xmax, ymax)]
        found.append((int(outputs["detection_classes"][0, row]), sides, float(outputs["detection_scores"][0, row])))
    assert found == [
        (2, [8, 12, 24, 36], pytest.approx(0.876543)),
        (1, [0, 30, 16, 48], 0.75),
    ]
    assert outputs["detection_class_names"].tolist() == [[b"bottle", b"cup"]]
    assert faces.calls == instances.calls == []


async def test_the_picture_is_drawn_here_too(stub: PredictionServiceStub, photo: bytes, objects: FakeBranch) -> None:
    outputs = arrays(await stub.Predict(predict("object_detection", files(photo), "annotated_image")))
    drawn = np.asarray(Image.open(BytesIO(outputs["annotated_image"][0])))
    expected = draw(np.asarray(Image.open(BytesIO(photo))), [], [], objects.results)  # type: ignore[arg-type]
    np.testing.assert_array_equal(drawn, expected)


async def test_options_reach_the_branch(stub: PredictionServiceStub, photo: bytes, objects: FakeBranch) -> None:
    most = TensorProto(dtype="DT_INT32", int_val=[7])
    cup = TensorProto(dtype="DT_STRING", string_val=[b"cup"])
    own = {"score_threshold": number(0.25), "nms_iou": number(0.5), "classes": cup, "max_objects": most}
    await stub.Predict(predict("object_detection", files(photo), "num_detections", **own))
    among = {f"object_detection.{name}": value for name, value in own.items()}
    await stub.Predict(predict("analyze", files(photo), "object_detection.num_detections", **among))
    assert [call.options for call in objects.calls] == [ObjectDetectionOptions(0.25, 0.5, ("cup",), 7)] * 2


async def test_the_images_have_one_name(stub: PredictionServiceStub, photo: bytes) -> None:
    request = PredictRequest(model_spec=SPEC, inputs={"images": files(photo), "inputs": files(photo)})
    with pytest.raises(grpc.aio.AioRpcError, match="not found in signature: inputs") as refused:
        await stub.Predict(request)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_its_version_is_its_cards(channel: grpc.aio.Channel) -> None:
    (status,) = (
        await ModelServiceStub(channel).GetModelStatus(GetModelStatusRequest(model_spec=SPEC))
    ).model_version_status
    assert (status.version, status.state) == (3, 30)
