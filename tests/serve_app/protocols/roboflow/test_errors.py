"""What Roboflow's routes refuse, and how."""

import httpx
import pytest

from tests.serve_app.conftest import FakeBranch
from tests.serve_app.protocols.roboflow.bodies import FACES, FACES_ID, GOOD, INSTANCES, INSTANCES_ID, Body, b64, picture


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
