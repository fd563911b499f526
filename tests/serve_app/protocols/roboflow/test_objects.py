"""Roboflow's API of a service with the branch object_detection."""

from typing import Any

import httpx
import pytest
import supervision
from fastapi import FastAPI

from deployments.calls import ObjectDetectionOptions
from serve_app.http.app import create_app
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.native import routes as native
from serve_app.protocols.roboflow import routes as roboflow
from tests.serve_app.conftest import FakeBranch
from tests.serve_app.protocols.roboflow.bodies import FACES_ID, INSTANCES, INSTANCES_ID, b64, picture
from tests.serve_app.protocols.roboflow.test_routes import differs

OBJECTS = "/infer/object_detection"
OBJECTS_ID = "object_detection/3"


@pytest.fixture
def app(pipeline_of_three: Pipeline, limits: Limits) -> FastAPI:
    return create_app(pipeline_of_three, limits, [native.routes, roboflow.routes], frozenset())


async def predictions(client: httpx.AsyncClient, path: str, **request: Any) -> Any:
    answer = await client.post(path, **request)
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


async def test_the_registry_has_it(client: httpx.AsyncClient) -> None:
    models = (await client.get("/model/registry")).json()["models"]
    assert [(model["model_id"], model["task_type"]) for model in models] == [
        (FACES_ID, "object-detection"),
        (INSTANCES_ID, "instance-segmentation"),
        (OBJECTS_ID, "object-detection"),
    ]


async def test_one_route_serves_both_detectors_by_model_id(client: httpx.AsyncClient, photo: bytes) -> None:
    bottle, cup = await predictions(client, OBJECTS, json={"model_id": OBJECTS_ID, "image": picture(photo)})
    assert bottle.pop("detection_id") != cup.pop("detection_id")
    assert bottle == {
        "x": 16.0,
        "y": 24.0,
        "width": 16.0,
        "height": 24.0,
        "confidence": 0.876543,
        "class": "bottle",
        "class_id": 1,
    }
    (face,) = await predictions(client, OBJECTS, json={"model_id": FACES_ID, "image": picture(photo)})
    assert face["class"] == "MASK"
    wrong = await client.post(INSTANCES, json={"model_id": OBJECTS_ID, "image": picture(photo)})
    assert wrong.status_code == 400
    assert wrong.json()["message"] == f"model '{OBJECTS_ID}' is for object-detection, not instance-segmentation"


async def test_supervision_loads_them(client: httpx.AsyncClient, photo: bytes) -> None:
    answer = await client.post(OBJECTS, json={"model_id": OBJECTS_ID, "image": picture(photo)})
    detections = supervision.Detections.from_inference(answer.json())
    assert detections.xyxy[0].tolist() == [8, 12, 24, 36]
    assert detections.class_id is not None
    assert detections.class_id.tolist() == [1, 0]
    assert detections.data["class_name"].tolist() == ["bottle", "cup"]


async def test_choices_reach_the_model(client: httpx.AsyncClient, photo: bytes, objects: FakeBranch) -> None:
    choices = {"confidence": 0.75, "iou_threshold": 0.5, "class_filter": ["cup", "cat"], "max_detections": 5}
    await predictions(client, OBJECTS, json={"model_id": OBJECTS_ID, "image": picture(photo), **choices})
    percentages = {"confidence": "75", "overlap": "50", "classes": "cup,cat", "max_detections": "5"}
    await predictions(client, f"/{OBJECTS_ID}", params=percentages, content=b64(photo))
    await predictions(client, f"/{OBJECTS_ID}", params={"overlap": "0.5"}, content=b64(photo))
    expected = ObjectDetectionOptions(0.75, 0.5, ("cup", "cat"), 5)
    assert [call.options for call in objects.calls] == [expected, expected, ObjectDetectionOptions(nms_iou=0.5)]


async def test_the_hosted_form_draws(client: httpx.AsyncClient, photo: bytes) -> None:
    answer = await client.post(f"/{OBJECTS_ID}", params={"format": "image"}, content=b64(photo))
    assert differs(answer.content, photo)
