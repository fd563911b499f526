"""KServe V1 and TensorFlow Serving's REST API of a service with the branch object_detection."""

import base64
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from deployments.calls import InstanceSegmentationOptions, ObjectDetectionOptions
from deployments.imaging.draw import draw
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from tests.serve_app.conftest import HEIGHT, WIDTH, FakeBranch, client_of
from tests.serve_app.protocols.kserve.bodies import ANALYZE, kserve_app, predictions

OBJECTS = "/v1/models/object_detection"
BOXES = [[12 / HEIGHT, 8 / WIDTH, 36 / HEIGHT, 24 / WIDTH], [30 / HEIGHT, 0, 1, 16.123 / WIDTH]]
"""Of the objects, as fractions of the picture, which the second one's box leaves."""


@pytest.fixture
def pipeline(pipeline_of_three: Pipeline) -> Pipeline:
    return pipeline_of_three


@pytest.fixture
async def client(pipeline: Pipeline, limits: Limits) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(kserve_app(pipeline, limits)) as made:
        yield made


@pytest.fixture
def b64(photo: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(photo).decode()}


async def test_it_is_a_model_of_its_own(client: httpx.AsyncClient, objects: FakeBranch) -> None:
    models = ["mask_detection", "instance_segmentation", "object_detection", "analyze"]
    assert (await client.get("/v1/models")).json() == {"models": models}
    status = (await client.get(f"{OBJECTS}/versions/3")).json()
    assert (status["ready"], status["model_version_status"][0]["version"]) == (True, "3")
    assert (await client.get(ANALYZE)).json()["model_version_status"][0]["version"] == "3"
    objects.alive = False
    assert (await client.get(OBJECTS)).status_code == (await client.get(ANALYZE)).status_code == 503


@pytest.mark.parametrize("name", ["instances", "image", "inputs", "input_tensor"])
async def test_a_client_of_an_ssd_reads_boxes_classes_and_scores(
    client: httpx.AsyncClient, photo: bytes, faces: FakeBranch, instances: FakeBranch, name: str
) -> None:
    pixels = np.asarray(Image.open(BytesIO(photo))).tolist()
    (found,) = await predictions(
        client, OBJECTS, {"instances": [pixels if name == "instances" else {name: pixels}], "signature_name": ""}
    )
    assert int(found["num_detections"]) == 2
    np.testing.assert_allclose(found["detection_boxes"], BOXES, rtol=1e-6)
    assert found["detection_classes"] == [2.0, 1.0]
    assert found["detection_class_names"] == ["bottle", "cup"]
    np.testing.assert_allclose(found["detection_scores"], [0.876543, 0.75])
    assert faces.calls == instances.calls == []


async def test_columns_by_the_name_that_an_exported_ssd_has(client: httpx.AsyncClient, b64: dict[str, str]) -> None:
    for name in ("images", "inputs", "input_tensor"):
        answer = await client.post(f"{OBJECTS}:predict", json={"inputs": {name: [b64, b64], "score_threshold": 0.2}})
        assert answer.json()["outputs"]["num_detections"] == [2.0, 2.0]
    both = await client.post(f"{OBJECTS}:predict", json={"inputs": {"images": [b64], "inputs": [b64]}})
    assert both.status_code == 400
    assert "'inputs'" in both.json()["error"]


async def test_analyze_has_its_outputs_too(client: httpx.AsyncClient, b64: dict[str, str]) -> None:
    (found,) = await predictions(client, ANALYZE, {"instances": [b64]})
    assert found["object_detection.detection_class_names"] == ["bottle", "cup"]
    np.testing.assert_allclose(found["object_detection.detection_boxes"], BOXES, rtol=1e-6)
    assert found["mask_detection.detection_class_names"] == ["MASK"]
    assert found["instance_segmentation.detection_class_names"] == ["chair", "person"]
    assert found["instance_faces"] == [-1, 0]
    signature = (await client.get(f"{ANALYZE}/metadata")).json()["metadata"]["signature_def"]["signature_def"]
    assert signature["serving_default"]["outputs"].keys() == found.keys() | {"annotated_image"}


async def test_options_reach_the_branch(
    client: httpx.AsyncClient, b64: dict[str, str], objects: FakeBranch, instances: FakeBranch
) -> None:
    own: dict[str, Any] = {"score_threshold": 0.25, "nms_iou": 0.5, "classes": ["cup"], "max_objects": 7}
    await predictions(client, OBJECTS, {"instances": [b64], "parameters": own})
    among = {f"object_detection.{name}": value for name, value in own.items()} | {"score_threshold": 0.75}
    await predictions(client, ANALYZE, {"instances": [b64], "parameters": among})
    assert [call.options for call in objects.calls] == [ObjectDetectionOptions(0.25, 0.5, ("cup",), 7)] * 2
    assert [call.options for call in instances.calls] == [InstanceSegmentationOptions(0.75)]
    answer = await client.post(f"{OBJECTS}:predict", json={"instances": [b64], "parameters": {"classes": ["dog"]}})
    assert answer.status_code == 400
    assert "classes: 'dog' is not a label of object_detection" in answer.json()["error"]


async def test_the_picture_shows_the_boxes(
    client: httpx.AsyncClient, photo: bytes, b64: dict[str, str], objects: FakeBranch
) -> None:
    asked = {"instances": [b64], "parameters": {"output_filter": ["annotated_image"]}}
    (picture,) = await predictions(client, OBJECTS, asked)
    drawn = np.asarray(Image.open(BytesIO(base64.b64decode(picture["b64"]))))
    expected = draw(np.asarray(Image.open(BytesIO(photo))), [], [], objects.results)  # type: ignore[arg-type]
    np.testing.assert_array_equal(drawn, expected)
