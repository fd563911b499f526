"""Options of POST /analyze, from query, form and JSON."""

import json
from typing import Any

import httpx
import pytest

from deployments.calls import InstanceSegmentationOptions, MaskDetectionOptions
from deployments.models.card import Task
from serve_app.http.errors import RequestError
from serve_app.protocols.native.options import known_options, options_model, parse_options
from tests.serve_app.conftest import FakeBranch
from tests.serve_app.protocols.native.test_routes import PNG, answer_of, b64

LABELS: dict[Task, tuple[str, ...]] = {
    "mask_detection": ("NO MASK", "MASK"),
    "instance_segmentation": ("person", "traffic light", "dog"),
}
NativeOptions = options_model(tuple(LABELS))
TEXT = {
    "tasks": "instance_segmentation",
    "mask_detection.face_threshold": "0.25",
    "instance_segmentation.score_threshold": "1e-1",
    "classes": "person,dog",
    "max_instances": "5",
    "masks": "none",
    "annotate": "true",
    "timeout_s": "12",
}
FIELDS: dict[str, Any] = {
    "tasks": ["instance_segmentation"],
    "mask_detection": {"face_threshold": 0.25},
    "instance_segmentation.score_threshold": 0.1,
    "classes": ["person", "dog"],
    "max_instances": 5,
    "masks": "none",
    "annotate": True,
    "timeout_s": 12,
}


def test_text_and_fields_say_the_same() -> None:
    from_text = parse_options(TEXT.items(), {}, LABELS)
    assert from_text == parse_options([], FIELDS, LABELS)
    assert from_text == NativeOptions.model_validate(
        {
            "tasks": ("instance_segmentation",),
            "mask_detection.face_threshold": 0.25,
            "instance_segmentation.score_threshold": 0.1,
            "classes": ("person", "dog"),
            "max_instances": 5,
            "masks": "none",
            "annotate": True,
            "timeout_s": 12.0,
        }
    )
    assert TEXT.keys() == set(known_options(NativeOptions))


def test_defaults() -> None:
    options = parse_options([], {}, LABELS)
    assert options.tasks == ("mask_detection", "instance_segmentation")
    assert (options.masks, options.annotate) == ("rle", False)
    for_pipeline = options.for_pipeline()
    assert for_pipeline.mask_detection == MaskDetectionOptions()
    assert for_pipeline.instance_segmentation == InstanceSegmentationOptions()
    assert for_pipeline.timeout_s is None


def test_null_is_the_default() -> None:
    assert parse_options(
        [], {"classes": None, "mask_detection.face_threshold": None}, LABELS
    ) == NativeOptions.model_validate({})


def test_lists_repeat_or_hold_commas() -> None:
    text = [("classes", "dog, traffic light"), ("classes", "person"), ("tasks", "mask_detection,mask_detection")]
    options = parse_options(text, {}, LABELS)
    assert options.classes == ("dog", "traffic light", "person")
    assert options.tasks == ("mask_detection",)


def test_query_and_fields_add_up() -> None:
    options = parse_options([("masks", "png")], {"max_instances": 2}, LABELS)
    assert (options.masks, options.max_instances) == ("png", 2)


@pytest.mark.parametrize("fields", [{}, {"mask_detection": {"face_threshold": 0.2}}])
def test_nothing_is_given_twice(fields: dict[str, Any]) -> None:
    name = "mask_detection.face_threshold"
    text = [(name, "0.1")] if fields else [(name, "0.1"), (name, "0.1")]
    with pytest.raises(RequestError, match=f"{name}.*more than once"):
        parse_options(text, fields, LABELS)
    with pytest.raises(RequestError, match=f"{name}.*more than once"):
        parse_options([], {"mask_detection": {"face_threshold": 1}, name: 1}, LABELS)


WRONG_TEXT = [
    ("tasks", "faces"),
    ("tasks", ""),
    ("mask_detection.face_threshold", "7"),
    ("mask_detection.face_threshold", "-0.1"),
    ("mask_detection.face_threshold", "nan"),
    ("mask_detection.face_threshold", "inf"),
    ("mask_detection.face_threshold", "high"),
    ("mask_detection.face_threshold", ""),
    ("instance_segmentation.score_threshold", "1.0001"),
    ("instance_segmentation.score_threshold", "-inf"),
    ("classes", "unicorn"),
    ("classes", ""),
    ("classes", "person,,dog"),
    ("max_instances", "0"),
    ("max_instances", "1001"),
    ("max_instances", "2.5"),
    ("max_instances", "9" * 5000),
    ("masks", "bitmap"),
    ("masks", ""),
    ("annotate", "perhaps"),
    ("timeout_s", "0"),
    ("timeout_s", "-1"),
    ("timeout_s", "1e999"),
]
WRONG_FIELDS = [
    ("tasks", []),
    ("tasks", "mask_detection"),
    ("tasks", [1]),
    ("tasks", {}),
    ("mask_detection.face_threshold", "0.5"),
    ("mask_detection.face_threshold", True),
    ("mask_detection.face_threshold", [0.5]),
    ("mask_detection.face_threshold", 7),
    ("classes", []),
    ("classes", "dog"),
    ("classes", [None]),
    ("classes", ["unicorn"]),
    ("max_instances", 2.5),
    ("max_instances", "2"),
    ("max_instances", True),
    ("max_instances", 10**30),
    ("masks", None),
    ("masks", ["rle"]),
    ("annotate", "true"),
    ("annotate", 1),
    ("annotate", None),
    ("timeout_s", 0),
    ("timeout_s", "1"),
]


@pytest.mark.parametrize(("name", "value"), WRONG_TEXT)
async def test_wrong_text_is_named(
    client: httpx.AsyncClient, photo: bytes, faces: FakeBranch, name: str, value: str
) -> None:
    requests: list[dict[str, Any]] = [
        {"content": photo, "headers": PNG, "params": {name: value}},
        {"files": {"image": photo}, "data": {name: value}},
    ]
    for request in requests:
        answer = await client.post("/analyze", **request)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, "bad_option")
        assert name in error["message"]
        assert len(error["message"]) < 2000
    assert faces.calls == []


@pytest.mark.parametrize(("name", "value"), WRONG_FIELDS)
async def test_wrong_fields_are_named(client: httpx.AsyncClient, photo: bytes, name: str, value: object) -> None:
    body = json.dumps({"images": [b64(photo)], "options": {name: value}})
    answer = await client.post("/analyze", content=body, headers={"Content-Type": "application/json"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "bad_option")
    assert name in error["message"]


@pytest.mark.parametrize(
    ("options", "unknown"),
    [
        ({"thresold": 0.5}, "thresold"),
        ({"face_threshold": 0.5}, "face_threshold"),
        ({"mask_detection": {"thresold": 0.5}}, "mask_detection.thresold"),
        ({"mask_detection": 0.5}, "mask_detection"),
        ({"instance_segmentation": {"classes": ["dog"]}}, "instance_segmentation.classes"),
        ({"": 1}, ""),
    ],
)
async def test_an_unknown_option_is_named_with_the_known_ones(
    client: httpx.AsyncClient, photo: bytes, options: dict[str, Any], unknown: str
) -> None:
    answers = [await client.post("/analyze", json={"images": [b64(photo)], "options": options})]
    if unknown and unknown not in ("mask_detection",):
        answers.append(await client.post("/analyze", content=photo, headers=PNG, params={unknown: "1"}))
        answers.append(await client.post("/analyze", files={"image": photo}, data={unknown: "1"}))
    for answer in answers:
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, "unknown_option")
        assert repr(unknown) in error["message"]
        for known in TEXT:
            assert known in error["message"]


async def test_an_unknown_class_is_named_with_the_known_ones(client: httpx.AsyncClient, photo: bytes) -> None:
    answer = await client.post("/analyze", content=photo, headers=PNG, params={"classes": "unicorn"})
    assert "'unicorn'" in answer.json()["error"]["message"]
    assert "toothbrush" in answer.json()["error"]["message"]


@pytest.mark.parametrize("way", ["query", "form", "json"])
async def test_options_reach_the_branches(
    client: httpx.AsyncClient, photo: bytes, faces: FakeBranch, instances: FakeBranch, way: str
) -> None:
    text: dict[str, Any] = {**TEXT, "tasks": "mask_detection,instance_segmentation", "annotate": "false"}
    fields = {**FIELDS, "tasks": ["mask_detection", "instance_segmentation"], "annotate": False}
    requests: dict[str, dict[str, Any]] = {
        "query": {"content": photo, "headers": PNG, "params": text},
        "form": {"files": {"image": photo}, "data": text},
        "json": {"json": {"images": [b64(photo)], "options": fields}},
    }
    await answer_of(client, **requests[way])
    assert faces.calls[0].options == MaskDetectionOptions(0.25)
    assert instances.calls[0].options == InstanceSegmentationOptions(0.1, ("person", "dog"), 5)


@pytest.mark.parametrize("task", ["mask_detection", "instance_segmentation"])
async def test_one_task(
    client: httpx.AsyncClient, photo: bytes, faces: FakeBranch, instances: FakeBranch, task: str
) -> None:
    content = await answer_of(client, content=photo, headers=PNG, params={"tasks": task})
    assert content["models"].keys() == {task}
    (image,) = content["images"]
    assert (bool(image["faces"]), bool(image["instances"])) == (
        task == "mask_detection",
        task == "instance_segmentation",
    )
    assert (len(faces.calls), len(instances.calls)) == (len(image["faces"]), len(image["instances"]) // 2)
    assert task in content["timing_ms"]


def test_an_unknown_class_is_told_the_near_ones() -> None:
    with pytest.raises(RequestError, match="unknown class 'persn', did you mean 'person'\\?; known classes: person"):
        parse_options([("classes", "persn")], {}, LABELS)
    with pytest.raises(RequestError, match="unknown class 'xyz'; known classes: person"):
        parse_options([("classes", "xyz")], {}, LABELS)
