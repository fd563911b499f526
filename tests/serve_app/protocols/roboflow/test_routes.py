import base64
import json
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import supervision
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from deployments.imaging.masks import encode_rle
from deployments.imaging.rle import decode_rle
from deployments.results import Box, Face, Instance
from serve_app.http.app import create_app
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.native import routes as native
from serve_app.protocols.roboflow import routes as roboflow
from serve_app.protocols.roboflow.answer import outline
from tests.photos import jpeg, png
from tests.serve_app.conftest import HEIGHT, WIDTH, FakeBranch, client_of, person_mask
from tests.serve_app.protocols.client_venv import client_python
from tests.serve_app.protocols.loopback import serving

FACES = "/infer/object_detection"
INSTANCES = "/infer/instance_segmentation"
FACES_ID, INSTANCES_ID = "mask_detection/1", "instance_segmentation/1"
Body = dict[str, Any]


@pytest.fixture
def app(pipeline: Pipeline, limits: Limits, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    return create_app(pipeline, limits, [native.routes, roboflow.routes], frozenset())


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def picture(data: bytes) -> Body:
    return {"type": "base64", "value": b64(data)}


# The order of calls that inference-sdk makes, and what it reads of the answers.


async def test_the_registry_names_both_models(client: httpx.AsyncClient) -> None:
    registry = (await client.get("/model/registry", params={"api_key": "None"})).json()
    assert registry == {
        "models": [
            {"model_id": FACES_ID, "task_type": "object-detection"},
            {"model_id": INSTANCES_ID, "task_type": "instance-segmentation"},
        ]
    }
    assert (await client.post("/model/add", json={"model_id": FACES_ID, "api_key": "k"})).json() == registry


async def test_faces(client: httpx.AsyncClient, photo: bytes) -> None:
    answer = await client.post(FACES, json={"model_id": FACES_ID, "api_key": "k", "image": picture(photo)})
    assert answer.status_code == 200
    body = answer.json()
    assert body["image"] == {"width": WIDTH, "height": HEIGHT}
    assert body["inference_id"]
    assert body["time"] >= 0
    assert "visualization" not in body
    (face,) = body["predictions"]
    assert face.pop("detection_id")
    assert face == {
        "x": pytest.approx((18.123456 + 30) / 2),
        "y": 12.0,
        "width": pytest.approx(30 - 18.123456),
        "height": 12.0,
        "confidence": 0.987654321,
        "class": "MASK",
        "class_confidence": 0.912345678,
        "class_id": 1,
    }


async def test_several_pictures_get_a_list(client: httpx.AsyncClient, photo: bytes) -> None:
    request = {"model_id": FACES_ID, "image": [picture(photo), picture(photo)]}
    body = (await client.post(FACES, json=request)).json()
    assert [len(answer["predictions"]) for answer in body] == [1, 1]
    assert body[0]["inference_id"] != body[1]["inference_id"]
    request["image"] = [picture(photo)]
    assert len((await client.post(FACES, json=request)).json()) == 1


async def test_masks_as_rle(client: httpx.AsyncClient, instances: FakeBranch, photo: bytes) -> None:
    request = {"model_id": INSTANCES_ID, "image": picture(photo), "response_mask_format": "rle"}
    predictions = (await client.post(INSTANCES, json=request)).json()["predictions"]
    assert [prediction["rle"] for prediction in predictions] == [each.mask for each in instances.results]  # type: ignore[union-attr]
    assert [prediction["mask_format"] for prediction in predictions] == ["rle", "rle"]
    assert [(prediction["class"], prediction["class_id"]) for prediction in predictions] == [
        ("chair", 56),
        ("person", 0),
    ]
    assert all("points" not in prediction for prediction in predictions)


async def test_masks_as_polygons_are_the_default(client: httpx.AsyncClient, photo: bytes) -> None:
    request = {"model_id": INSTANCES_ID, "image": picture(photo)}
    predictions = (await client.post(INSTANCES, json=request)).json()["predictions"]
    assert [prediction["mask_format"] for prediction in predictions] == ["polygon", "polygon"]
    person = predictions[1]
    assert {(point["x"], point["y"]) for point in person["points"]} == {(10, 4), (39, 4), (39, 43), (10, 43)}
    assert "rle" not in person


async def test_supervision_loads_faces(client: httpx.AsyncClient, photo: bytes) -> None:
    answer = await client.post(FACES, json={"model_id": FACES_ID, "image": picture(photo)})
    detections = supervision.Detections.from_inference(answer.json())
    assert detections.xyxy[0] == pytest.approx([18.123456, 6, 30, 18])
    assert detections.confidence is not None
    assert detections.confidence[0] == pytest.approx(0.987654321)
    assert detections.data["class_name"].tolist() == ["MASK"]
    assert detections.mask is None


@pytest.mark.parametrize("mask_format", ["polygon", "rle"])
async def test_supervision_loads_masks(
    client: httpx.AsyncClient, instances: FakeBranch, photo: bytes, mask_format: str
) -> None:
    pixel = np.zeros((HEIGHT, WIDTH), bool)
    pixel[3, 5] = True
    instances.results += [Instance(2, "car", 0.3, Box(5, 3, 6, 4), encode_rle(pixel), 1)]  # type: ignore[list-item]
    request = {"model_id": INSTANCES_ID, "image": picture(photo), "response_mask_format": mask_format}
    detections = supervision.Detections.from_inference((await client.post(INSTANCES, json=request)).json())
    assert detections.xyxy.tolist() == [[50, 40, 64, 48], [10, 4, 40, 44], [5, 3, 6, 4]]
    expected = np.stack([decode_rle(instance.mask) for instance in instances.results])  # type: ignore[union-attr]
    if mask_format == "polygon":
        expected[1, 30:34, 20:26] = True  # one polygon has no hole
    assert np.array_equal(np.asarray(detections.mask), expected)


async def test_supervision_loads_nothing_found(
    client: httpx.AsyncClient, faces: FakeBranch, instances: FakeBranch, photo: bytes
) -> None:
    faces.results, instances.results = [], []
    for path, model in ((FACES, FACES_ID), (INSTANCES, INSTANCES_ID)):
        answer = (await client.post(path, json={"model_id": model, "image": picture(photo)})).json()
        assert answer["predictions"] == []
        assert len(supervision.Detections.from_inference(answer)) == 0


async def test_choices_reach_the_models(
    client: httpx.AsyncClient, faces: FakeBranch, instances: FakeBranch, photo: bytes
) -> None:
    choices = {"confidence": 0.7, "class_filter": ["person", "MASK"], "max_detections": 5, "iou_threshold": 0.5}
    ignored = {"disable_preproc_auto_orient": True, "stroke_width": 3, "source": "x", "visualization_labels": True}
    for path, model in ((FACES, FACES_ID), (INSTANCES, INSTANCES_ID)):
        request = {"model_id": model, "image": picture(photo), **choices, **ignored}
        assert (await client.post(path, json=request)).status_code == 200
    assert faces.calls[0].options.face_threshold == 0.7  # type: ignore[union-attr]
    options = instances.calls[0].options
    assert (options.score_threshold, options.classes, options.max_instances) == (0.7, ("person", "MASK"), 5)  # type: ignore[union-attr]


@pytest.mark.parametrize("confidence", ["best", "default", None])
async def test_the_models_own_threshold(
    client: httpx.AsyncClient, faces: FakeBranch, photo: bytes, confidence: str | None
) -> None:
    request = {"model_id": FACES_ID, "image": picture(photo), "confidence": confidence, "class_filter": []}
    assert len((await client.post(FACES, json=request)).json()["predictions"]) == 1
    assert faces.calls[0].options.face_threshold is None  # type: ignore[union-attr]


async def test_faces_are_filtered_by_class_then_number(
    client: httpx.AsyncClient, faces: FakeBranch, photo: bytes
) -> None:
    labels = ["MASK", "NO MASK", "NO MASK"]
    faces.results = [Face(Box(n, n, n + 9, n + 9), 0.9 - n / 10, label, 0.9) for n, label in enumerate(labels)]  # type: ignore[arg-type]
    request = {"model_id": FACES_ID, "image": picture(photo), "class_filter": ["NO MASK"], "max_detections": 1}
    (face,) = (await client.post(FACES, json=request)).json()["predictions"]
    assert (face["class"], face["class_id"], face["confidence"]) == ("NO MASK", 0, 0.8)
    request["class_filter"] = ["cat"]
    assert (await client.post(FACES, json=request)).json()["predictions"] == []


def differs(drawn: bytes, photo: bytes) -> bool:
    """Whether ``drawn`` is a JPEG of the photo with something on it."""
    image = Image.open(BytesIO(drawn))
    assert (image.format, image.size) == ("JPEG", (WIDTH, HEIGHT))
    plain = Image.open(BytesIO(jpeg(np.asarray(Image.open(BytesIO(photo)).convert("RGB")), 90)))
    return bool(np.abs(np.asarray(image).astype(int) - np.asarray(plain).astype(int)).max() > 50)


@pytest.mark.parametrize(("path", "model"), [(FACES, FACES_ID), (INSTANCES, INSTANCES_ID)])
async def test_predictions_are_drawn_on_request(client: httpx.AsyncClient, photo: bytes, path: str, model: str) -> None:
    request = {"model_id": model, "image": [picture(photo)] * 2, "visualize_predictions": True}
    for answer in (await client.post(path, json=request)).json():
        assert differs(base64.b64decode(answer["visualization"], validate=True), photo)


# The hosted form


@pytest.mark.parametrize("media_type", ["application/json", "application/x-www-form-urlencoded", "text/plain"])
async def test_hosted_takes_base64_as_the_body(client: httpx.AsyncClient, photo: bytes, media_type: str) -> None:
    for body in (b64(photo), base64.encodebytes(photo), "data:image/png;base64," + b64(photo)):
        answer = await client.post(f"/{FACES_ID}?api_key=k", content=body, headers={"Content-Type": media_type})
        assert answer.status_code == 200
        assert [face["class"] for face in answer.json()["predictions"]] == ["MASK"]


async def test_hosted_takes_a_file(client: httpx.AsyncClient, photo: bytes) -> None:
    answer = await client.post(f"/{INSTANCES_ID}", files={"file": ("photo.png", photo)})
    assert [each["class"] for each in answer.json()["predictions"]] == ["chair", "person"]


@pytest.mark.parametrize(("given", "used"), [("0.3", 0.3), ("40", 0.4), ("100", 1.0), ("1", 0.01), ("best", None)])
async def test_hosted_confidence_may_be_a_percentage(
    client: httpx.AsyncClient, instances: FakeBranch, photo: bytes, given: str, used: float | None
) -> None:
    query = {"confidence": given, "overlap": "30", "max_detections": "7", "classes": "person, chair", "stroke": "2"}
    answer = await client.post(f"/{INSTANCES_ID}", params=query, content=b64(photo))
    assert answer.status_code == 200
    options = instances.calls[0].options
    assert options.score_threshold == used  # type: ignore[union-attr]
    assert (options.classes, options.max_instances) == (("person", "chair"), 7)  # type: ignore[union-attr]


async def test_hosted_formats(client: httpx.AsyncClient, photo: bytes) -> None:
    async def post(**query: str) -> httpx.Response:
        return await client.post(f"/{INSTANCES_ID}", params=query, content=b64(photo))

    image = await post(format="image")
    assert image.headers["content-type"] == "image/jpeg"
    assert differs(image.content, photo)
    both = (await post(format="image_and_json", response_mask_format="rle")).json()
    assert differs(base64.b64decode(both["visualization"]), photo)
    assert [prediction["mask_format"] for prediction in both["predictions"]] == ["rle", "rle"]
    assert "visualization" not in (await post(format="json")).json()


# Outlines


@settings(max_examples=200, deadline=None)
@given(arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_an_outline_fills_to_one_part_of_the_mask(mask: np.ndarray) -> None:
    import cv2

    points = [(point["x"], point["y"]) for point in outline(encode_rle(mask))]
    if not mask.any():
        assert points == []
        return
    assert len(points) >= 3
    _, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    (number,) = {int(parts[y, x]) for x, y in points}  # a border runs through one part's own pixels
    part = np.pad(parts == number, 1)
    filled = np.pad(cv2.fillPoly(np.zeros(mask.shape, np.uint8), [np.array(points, np.int32)], 1), 1) > 0
    _, background = cv2.connectedComponents((~part).astype(np.uint8), connectivity=4)
    holes = ~part & (background != background[0, 0])
    assert np.array_equal(filled, part | holes)


# Errors


GOOD = png(np.zeros((HEIGHT, WIDTH, 3), np.uint8))


def v1(**fields: object) -> Body:
    return {"json": {"model_id": FACES_ID, "image": picture(GOOD), **fields}}


def without(name: str) -> Body:
    return {"json": {key: value for key, value in v1()["json"].items() if key != name}}


MALFORMED: dict[str, tuple[str, Body, int, str]] = {
    "empty body": (FACES, {"content": b""}, 400, "not valid JSON"),
    "no JSON": (FACES, {"content": b"hello"}, 400, "not valid JSON"),
    "half the JSON": (INSTANCES, {"content": b'{"model_id": "'}, 400, "not valid JSON"),
    "not UTF-8": (INSTANCES, {"content": b'{"model_id": "\xff"}'}, 400, "not valid JSON"),
    "NaN": (FACES, {"content": b'{"confidence": NaN}'}, 400, "not valid JSON"),
    "Infinity": (FACES, {"content": b'{"confidence": 1e999}'}, 400, "not valid JSON"),
    "deep JSON": (FACES, {"content": b"[" * 100_000}, 400, "too many values"),
    "wide JSON": (FACES, {"content": b"[" + b"0," * 100_000 + b"0]"}, 400, "too many values"),
    "a list": (FACES, {"json": []}, 400, "JSON object"),
    "null": (FACES, {"content": b"null"}, 400, "JSON object"),
    "no model": (FACES, without("model_id"), 400, "'model_id' is missing"),
    "a model of numbers": (FACES, v1(model_id=1), 400, "'model_id'"),
    "unknown model": (FACES, v1(model_id="coco/3"), 404, "'coco/3'"),
    "unknown version": (FACES, v1(model_id="mask_detection/9"), 404, FACES_ID),
    "no version": (FACES, v1(model_id="mask_detection"), 404, FACES_ID),
    "a path for a model": (FACES, v1(model_id="../../etc/passwd"), 404, FACES_ID),
    "the other task's model": (INSTANCES, v1(), 400, "is for object-detection"),
    "no image": (FACES, without("image"), 400, "'image' is missing"),
    "image null": (FACES, v1(image=None), 400, "image 1: must be an object"),
    "image a string": (FACES, v1(image=b64(GOOD)), 400, "image 1: must be an object"),
    "no images": (FACES, v1(image=[]), 400, "empty list"),
    "images in images": (FACES, v1(image=[[picture(GOOD)]]), 400, "image 1: must be an object"),
    "too many images": (FACES, v1(image=[picture(GOOD)] * 9), 413, "8 images"),
    "a URL": (FACES, v1(image={"type": "url", "value": "http://127.0.0.1/"}), 400, "fetches no URLs"),
    "a file's URL": (FACES, v1(image=[{"type": "url", "value": "file:///etc/passwd"}]), 400, "image 1"),
    "a pickle": (FACES, v1(image={"type": "numpy", "value": b64(b"cos\n.")}), 400, "'numpy' is not supported"),
    "no type": (FACES, v1(image={"value": b64(GOOD)}), 400, "image 1: type"),
    "a type of numbers": (FACES, v1(image={"type": 1, "value": b64(GOOD)}), 400, "image 1: type"),
    "no value": (FACES, v1(image={"type": "base64"}), 400, "image 1: must be a base64 string"),
    "a value of numbers": (FACES, v1(image={"type": "base64", "value": [1]}), 400, "image 1: must be a base64"),
    "empty value": (FACES, v1(image={"type": "base64", "value": ""}), 400, "image 1: is empty"),
    "broken base64": (FACES, v1(image=[picture(GOOD), {"type": "base64", "value": "A"}]), 400, "image 2: the base64"),
    "no picture": (FACES, v1(image=[picture(GOOD), picture(b"hello")]), 400, "image 2: the data is not"),
    "confidence 7": (FACES, v1(confidence=7), 400, "'confidence'"),
    "confidence negative": (FACES, v1(confidence=-0.5), 400, "'confidence'"),
    "confidence a word": (FACES, v1(confidence="high"), 400, "'confidence'"),
    "confidence a bool": (FACES, v1(confidence=True), 400, "'confidence'"),
    "overlap 2": (FACES, v1(iou_threshold=2), 400, "'iou_threshold'"),
    "no detections": (FACES, v1(max_detections=0), 400, "'max_detections'"),
    "detections by halves": (FACES, v1(max_detections=1.5), 400, "'max_detections'"),
    "classes a string": (FACES, v1(class_filter="MASK"), 400, "'class_filter'"),
    "classes of numbers": (FACES, v1(class_filter=[1]), 400, "'class_filter'"),
    "unknown mask format": (FACES, v1(response_mask_format="png"), 400, "'response_mask_format'"),
    "visualize a word": (FACES, v1(visualize_predictions="yes"), 400, "'visualize_predictions'"),
    "body too large": (FACES, v1(source="A" * 1_000_001), 413, "1000000 bytes"),
    "no gzip": (FACES, {"content": b"{}", "headers": {"Content-Encoding": "gzip"}}, 400, "gzip"),
    "an encoding": (FACES, {"content": b"{}", "headers": {"Content-Encoding": "br"}}, 415, "'br'"),
    "add nothing": ("/model/add", {"json": {}}, 400, "'model_id'"),
    "add a list": ("/model/add", {"json": [FACES_ID]}, 400, "JSON object"),
    "add no JSON": ("/model/add", {"content": b"x"}, 400, "not valid JSON"),
    "add another": ("/model/add", {"json": {"model_id": "coco/3"}}, 404, "'coco/3'"),
    "hosted, other version": ("/mask_detection/2", {"content": b64(GOOD)}, 404, "'mask_detection/2'"),
    "hosted, no body": (f"/{FACES_ID}", {"content": b""}, 400, "image 1: is empty"),
    "hosted, no base64": (f"/{FACES_ID}", {"content": b"\xff\xd8\xff"}, 400, "image 1: the base64 is broken"),
    "hosted, JSON": (f"/{FACES_ID}", {"json": {"image": b64(GOOD)}}, 400, "image 1: the base64 is broken"),
    "hosted, no picture": (f"/{FACES_ID}", {"content": b64(b"hello")}, 400, "image 1: the data is not"),
    "hosted, a URL": (f"/{FACES_ID}?image=http://127.0.0.1/", {}, 400, "fetches no URLs"),
    "hosted, NaN": (f"/{FACES_ID}?confidence=nan", {"content": b64(GOOD)}, 400, "'confidence'"),
    "hosted, infinity": (f"/{FACES_ID}?overlap=inf", {"content": b64(GOOD)}, 400, "'overlap'"),
    "hosted, 101 per cent": (f"/{FACES_ID}?confidence=101", {"content": b64(GOOD)}, 400, "'confidence'"),
    "hosted, format": (f"/{FACES_ID}?format=xml", {"content": b64(GOOD)}, 400, "'format'"),
    "hosted, mask format": (f"/{INSTANCES_ID}?response_mask_format=png", {"content": b64(GOOD)}, 400, "mask_format"),
    "hosted, detections": (f"/{FACES_ID}?max_detections=many", {"content": b64(GOOD)}, 400, "'max_detections'"),
    "hosted, wrong field": (f"/{FACES_ID}", {"files": {"image": GOOD}}, 400, "'file'"),
    "hosted, two files": (f"/{FACES_ID}", {"files": [("file", GOOD)] * 2}, 400, "one file"),
    "hosted, body too large": (f"/{FACES_ID}", {"content": b"A" * 1_000_001}, 413, "1000000 bytes"),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_requests_get_roboflows_form_of_an_error(client: httpx.AsyncClient, name: str) -> None:
    path, request, status, named = MALFORMED[name]
    answer = await client.post(path, **request)
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"message"}
    assert named in answer.json()["message"]


@pytest.mark.parametrize(
    ("code", "status"), [("overloaded", 503), ("unavailable", 503), ("deadline_exceeded", 504), ("internal", 500)]
)
async def test_failures_of_a_model(
    client: httpx.AsyncClient, faces: FakeBranch, photo: bytes, code: str, status: int
) -> None:
    faces.fail(code)
    for path, request in (
        (FACES, {"json": {"model_id": FACES_ID, "image": picture(photo)}}),
        (f"/{FACES_ID}", {"content": b64(photo)}),
    ):
        answer = await client.post(path, **request)  # type: ignore[arg-type]
        assert answer.status_code == status
        assert code in answer.json()["message"]
        assert ("retry-after" in answer.headers) == (status == 503)


async def test_the_hosted_form_hides_no_other_route(client: httpx.AsyncClient, photo: bytes) -> None:
    answer = await client.post("/analyze", files={"image": photo})
    assert [face["label"] for face in answer.json()["images"][0]["faces"]] == ["MASK"]
    for path in ("/coco/3", "/predict/solov2", "/v1/models", "/get/modules"):
        missing = await client.post(path, content=b64(photo))
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    assert (await client.get("/models")).status_code == 200


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
PICTURES = st.just(picture(GOOD)) | st.fixed_dictionaries(
    {"type": st.sampled_from(["base64", "url"]), "value": JSON_VALUES}
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "model_id": st.sampled_from([FACES_ID, INSTANCES_ID]) | JSON_VALUES,
        "image": PICTURES | st.lists(PICTURES, max_size=2) | JSON_VALUES,
        "confidence": st.floats(0, 1) | JSON_VALUES,
        "class_filter": st.lists(st.text()) | JSON_VALUES,
        "max_detections": st.integers() | JSON_VALUES,
        "visualize_predictions": st.booleans() | JSON_VALUES,
    },
)
FUZZ = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(st.sampled_from([FACES, INSTANCES, "/model/add"]), FIELDS | JSON_VALUES)
async def test_any_json_gets_an_answer_or_a_message(app: FastAPI, path: str, content: object) -> None:
    async with client_of(app) as client:
        answer = await client.post(path, content=json.dumps(content))
    assert answer.status_code in (200, 400, 404, 413)
    assert answer.status_code == 200 or answer.json().keys() == {"message"}


@FUZZ
@given(
    st.sampled_from([FACES, INSTANCES, f"/{FACES_ID}", f"/{INSTANCES_ID}"]),
    st.binary(max_size=300),
    st.sampled_from(["application/json", "multipart/form-data; boundary=x"]),
    st.dictionaries(st.sampled_from(["confidence", "format", "max_detections", "classes"]), st.text(max_size=8)),
)
async def test_any_bytes_get_an_answer_or_a_message(
    app: FastAPI, path: str, content: bytes, media_type: str, query: dict[str, str]
) -> None:
    body = b"--x\r\n" + content if "boundary" in media_type else content
    async with client_of(app) as client:
        answer = await client.post(path, params=query, content=body, headers={"Content-Type": media_type})
    assert answer.status_code == 400
    assert answer.json().keys() == {"message"}


# The real client


SDK_CLIENT = """
import json, sys
import numpy, supervision
from inference_sdk import InferenceConfiguration, InferenceHTTPClient
from inference_sdk.http.entities import VisualisationResponseFormat
from inference_sdk.http.errors import HTTPCallErrorError, ModelNotInitializedError

url, photo = sys.argv[1:]
found = {}
client = InferenceHTTPClient(api_url=url, api_key="key")
found["faces"] = client.infer(photo, model_id="mask_detection/1")
found["list"] = [len(each["predictions"]) for each in client.infer([photo] * 3, model_id="mask_detection/1")]
found["polygons"] = client.infer(photo, model_id="instance_segmentation/1")
loaded = supervision.Detections.from_inference(found["polygons"])
found["areas"] = loaded.mask.sum(axis=(1, 2)).tolist()
drawn = InferenceConfiguration(
    confidence_threshold=0.6, class_filter=["person"], max_detections=3, response_mask_format="rle",
    visualize_predictions=True, output_visualisation_format=VisualisationResponseFormat.NUMPY, max_batch_size=2,
    api_key_transport="header",
)
with client.use_configuration(drawn):
    first, second = client.infer([photo, numpy.zeros((48, 64, 3), numpy.uint8)], model_id="instance_segmentation/1")
found["drawn"] = [first.pop("visualization").shape, second["image"]]
found["rle"] = first
try:
    client.infer(photo, model_id="coco/3")
except HTTPCallErrorError as error:
    found["unknown"] = [error.status_code, error.api_message]
client.select_api_v0()
found["hosted"] = client.infer(photo, model_id="mask_detection/1")
with client.use_configuration(InferenceConfiguration(confidence_threshold=0.4, format="image", iou_threshold=0.3)):
    found["hosted_image"] = len(client.infer(photo, model_id="instance_segmentation/1")["visualization"])
print(json.dumps(found, default=str))
"""


@pytest.fixture
def url(app: FastAPI) -> Iterator[str]:
    with serving(app) as base:
        yield base


@pytest.mark.clients
def test_inference_sdk_works_unchanged(
    url: str, instances: FakeBranch, photo: bytes, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    python = client_python(Path(pytestconfig.cache.mkdir("clients")), "inference-sdk==1.8.3")  # type: ignore[union-attr]
    path = tmp_path / "photo.png"
    path.write_bytes(photo)
    command = [str(python), "-c", SDK_CLIENT, url, str(path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for answer in (found["faces"], found["hosted"]):
        assert [face["class"] for face in answer["predictions"]] == ["MASK"]
        assert answer["image"] == {"width": WIDTH, "height": HEIGHT}
    assert found["list"] == [1, 1, 1]
    assert found["areas"] == [8 * 14, int(person_mask().sum()) + 4 * 6]  # the polygon fills the person's hole
    assert found["drawn"] == [[HEIGHT, WIDTH, 3], {"width": WIDTH, "height": HEIGHT}]
    assert [each["rle"] for each in found["rle"]["predictions"]] == [each.mask for each in instances.results]  # type: ignore[union-attr]
    options = [call.options for call in instances.calls]
    assert (options[1].score_threshold, options[1].classes, options[1].max_instances) == (0.6, ("person",), 3)  # type: ignore[union-attr]
    assert options[-1].score_threshold == 0.4  # type: ignore[union-attr]
    status, message = found["unknown"]
    assert status == 404
    assert "coco/3" in message
    assert found["hosted_image"] > 100
