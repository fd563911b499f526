"""POST /analyze of a service with the third branch, and of one without."""

from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image

from deployments.calls import InstanceSegmentationOptions, ObjectDetectionOptions
from deployments.imaging.draw import draw, encode_picture
from serve_app.http.app import create_app
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.native import routes as native
from tests.photos import astronaut
from tests.serve_app.conftest import HEIGHT, WIDTH, FakeBranch, client_of
from tests.serve_app.protocols.native.test_routes import PNG, answer_of, b64, opened

TASKS = ["mask_detection", "instance_segmentation", "object_detection"]
OPTIONS = {
    "object_detection.score_threshold": 0.25,
    "object_detection.nms_iou": 0.5,
    "object_detection.classes": ["cup", "bottle"],
    "object_detection.max_objects": 7,
}
OBJECTS = [
    {"label": "bottle", "label_id": 1, "score": 0.8765, "box": {"left": 8, "top": 12, "right": 24, "bottom": 36}},
    {"label": "cup", "label_id": 0, "score": 0.75, "box": {"left": -4.0, "top": 30, "right": 16.12, "bottom": 48}},
]


@pytest.fixture
def app_of_three(pipeline_of_three: Pipeline, limits: Limits) -> FastAPI:
    return create_app(pipeline_of_three, limits, [native.routes], frozenset())


@pytest.fixture
async def three(app_of_three: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app_of_three) as made:
        yield made


async def test_the_whole_answer(three: httpx.AsyncClient, client: httpx.AsyncClient, photo: bytes) -> None:
    content = await answer_of(three, content=photo, headers=PNG)
    (image,) = content["images"]
    assert image.pop("objects") == OBJECTS
    assert content["timing_ms"].pop("object_detection") == {"queue": 1.25, "run": 7.5}
    assert content["models"].pop("object_detection") == "goods@3"
    without = await answer_of(client, content=photo, headers=PNG)
    assert content["images"] == without["images"]
    assert content["models"] == without["models"]
    assert content["timing_ms"].keys() == without["timing_ms"].keys()


async def test_objects_are_there_where_they_were_asked_for(three: httpx.AsyncClient, photo: bytes) -> None:
    only = await answer_of(three, content=photo, headers=PNG, params={"tasks": "object_detection"})
    assert only["models"] == {"object_detection": "goods@3"}
    (image,) = only["images"]
    assert image["objects"] == OBJECTS
    assert (image["faces"], image["instances"], image["people"]) == ([], [], [])
    others = await answer_of(three, content=photo, headers=PNG, params={"tasks": ",".join(TASKS[:2])})
    assert "objects" not in others["images"][0]
    assert "object_detection" not in others["timing_ms"]


async def test_an_unreadable_image_has_none(three: httpx.AsyncClient, photo: bytes) -> None:
    images = (await answer_of(three, json={"images": [b64(photo), "AAAA"]}))["images"]
    assert [image["objects"] for image in images] == [OBJECTS, []]


@pytest.mark.parametrize("way", ["query", "form", "json", "nested"])
async def test_options_reach_the_branch(
    three: httpx.AsyncClient, photo: bytes, objects: FakeBranch, instances: FakeBranch, way: str
) -> None:
    text = {name: "cup,bottle" if isinstance(value, list) else str(value) for name, value in OPTIONS.items()}
    nested = {"object_detection": {name.partition(".")[2]: value for name, value in OPTIONS.items()}}
    requests: dict[str, dict[str, Any]] = {
        "query": {"content": photo, "headers": PNG, "params": text},
        "form": {"files": {"image": photo}, "data": text},
        "json": {"json": {"images": [b64(photo)], "options": OPTIONS}},
        "nested": {"json": {"images": [b64(photo)], "options": nested}},
    }
    await answer_of(three, **requests[way])
    assert objects.calls[0].options == ObjectDetectionOptions(0.25, 0.5, ("cup", "bottle"), 7)
    assert instances.calls[0].options == InstanceSegmentationOptions()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("object_detection.score_threshold", "1.1"),
        ("object_detection.nms_iou", "-0.1"),
        ("object_detection.nms_iou", "nan"),
        ("object_detection.classes", "cup,,bottle"),
        ("object_detection.max_objects", "0"),
        ("object_detection.max_objects", "1001"),
        ("tasks", "object_detections"),
    ],
)
async def test_wrong_options_are_named(
    three: httpx.AsyncClient, photo: bytes, objects: FakeBranch, name: str, value: str
) -> None:
    answer = await three.post("/analyze", content=photo, headers=PNG, params={name: value})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "bad_option")
    assert repr(name) in error["message"]
    assert objects.calls == []


async def test_each_task_has_its_own_classes(three: httpx.AsyncClient, photo: bytes) -> None:
    for option, unknown, known in (
        ("object_detection.classes", "toothbrush", "cup, bottle"),
        ("classes", "unicorn", "toothbrush"),
    ):
        answer = await three.post("/analyze", content=photo, headers=PNG, params={option: unknown})
        assert answer.status_code == 400
        message = answer.json()["error"]["message"]
        assert message.startswith(f"option {option!r}: unknown class {unknown!r}; known classes: ")
        assert known in message


async def test_a_task_that_is_not_served_is_refused_with_those_that_are(
    client: httpx.AsyncClient, photo: bytes, faces: FakeBranch
) -> None:
    text = {"content": photo, "headers": PNG, "params": {"tasks": "mask_detection,object_detection"}}
    json = {"json": {"images": [b64(photo)], "options": {"tasks": ["object_detection"]}}}
    for request in (text, json):
        answer = await client.post("/analyze", **request)  # type: ignore[arg-type]
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, "bad_option")
        for named in ("'tasks'", "'mask_detection'", "'instance_segmentation'", "not 'object_detection'"):
            assert named in error["message"]
    assert faces.calls == []


async def test_its_options_are_unknown_where_it_is_not_served(client: httpx.AsyncClient, photo: bytes) -> None:
    for options in ({"object_detection.nms_iou": 0.5}, {"object_detection": {"nms_iou": 0.5}}):
        answer = await client.post("/analyze", json={"images": [b64(photo)], "options": options})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, "unknown_option")
        assert "unknown option 'object_detection.nms_iou'; known options: tasks, mask" in error["message"]


async def test_failures_are_the_branchs_own(three: httpx.AsyncClient, photo: bytes, objects: FakeBranch) -> None:
    objects.fail("unavailable")
    content = await answer_of(three, content=photo, headers=PNG)
    (image,) = content["images"]
    assert (len(image["faces"]), len(image["instances"]), image["objects"]) == (1, 2, [])
    assert [(error["task"], error["code"]) for error in image["errors"]] == [("object_detection", "unavailable")]
    assert "object_detection" not in content["timing_ms"]
    alone = await three.post("/analyze", content=photo, headers=PNG, params={"tasks": "object_detection"})
    assert (alone.status_code, alone.json()["error"]["code"]) == (503, "unavailable")
    picture = await three.post("/analyze", content=photo, headers={**PNG, "Accept": "image/png"})
    assert picture.headers["x-failed-tasks"] == "object_detection"


async def test_objects_are_drawn(
    three: httpx.AsyncClient, photo: bytes, faces: FakeBranch, instances: FakeBranch, objects: FakeBranch
) -> None:
    answer = await three.post("/analyze", content=photo, headers={**PNG, "Accept": "image/png"})
    pixels = np.ascontiguousarray(astronaut()[:HEIGHT, :WIDTH])
    drawn = draw(pixels, faces.results, instances.results, objects.results)  # type: ignore[arg-type]
    assert answer.content == encode_picture(drawn, "png")
    assert not np.array_equal(drawn, draw(pixels, faces.results, instances.results))  # type: ignore[arg-type]
    asked = {"tasks": "object_detection", "annotate": "true"}
    (image,) = (await answer_of(three, content=photo, headers=PNG, params=asked))["images"]
    assert opened(image["annotated"]).size == (WIDTH, HEIGHT)
    only = {**PNG, "Accept": "image/png"}
    answer = await three.post("/analyze", content=photo, headers=only, params={"tasks": "object_detection"})
    np.testing.assert_array_equal(
        np.asarray(Image.open(BytesIO(answer.content))),
        draw(pixels, [], [], objects.results),  # type: ignore[arg-type]
    )


async def test_models_and_readiness_have_the_branch(three: httpx.AsyncClient, objects: FakeBranch) -> None:
    assert [card["task"] for card in (await three.get("/models")).json()["models"]] == TASKS
    assert (await three.get("/readyz")).json() == {"ready": True, "models": dict.fromkeys(TASKS, True)}
    objects.alive = False
    answer = await three.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["models"]["object_detection"] is False


async def test_the_documentation_is_of_the_tasks_served(three: httpx.AsyncClient, client: httpx.AsyncClient) -> None:
    names = []
    for service, tasks in ((client, TASKS[:2]), (three, TASKS)):
        parameters = (await service.get("/openapi.json")).json()["paths"]["/analyze"]["post"]["parameters"]
        names.append([parameter["name"] for parameter in parameters])
        assert parameters[0]["name"] == "tasks"
        assert parameters[0]["schema"]["items"]["enum"] == tasks
        assert parameters[0]["schema"]["default"] == tasks
    assert names[1] == [*names[0], *OPTIONS]
    page = (await three.get("/docs")).text
    assert all(name in page for name in OPTIONS)
    schemas = (await three.get("/openapi.json")).json()["components"]["schemas"]
    assert schemas["ObjectJson"]["properties"].keys() == OBJECTS[0].keys()
