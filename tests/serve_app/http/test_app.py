import base64
import json
import logging
import re

import httpx
import pytest
from fastapi import FastAPI

from serve_app.api_keys import ApiKeys, KeyEntry, digest
from serve_app.http.app import create_app
from serve_app.ingress import HTTP_PROTOCOLS
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.kserve import routes as kserve
from serve_app.protocols.native import routes as native
from serve_app.refusals import write_refusal
from tests.serve_app.conftest import FakeBranch, client_of

PNG = {"Content-Type": "image/png"}


async def test_alive(client: httpx.AsyncClient) -> None:
    answer = await client.get("/livez")
    assert (answer.status_code, answer.json()) == (200, {"live": True})


async def test_ready_once_both_models_answer(client: httpx.AsyncClient, faces: FakeBranch) -> None:
    answer = await client.get("/readyz")
    both = {"mask_detection": True, "instance_segmentation": True}
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "models": both})
    faces.alive = False
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "models": {**both, "mask_detection": False}})


async def test_model_cards(client: httpx.AsyncClient, faces: FakeBranch) -> None:
    mask_detection, segmentation = (await client.get("/models")).json()["models"]
    assert (mask_detection["name"], mask_detection["version"]) == ("face_mask", "1")
    assert mask_detection["labels"] == ["NO MASK", "MASK"]
    assert mask_detection["thresholds"] == faces.card.thresholds
    assert mask_detection["image"]["resize"]["rule"] == "max_side"
    assert segmentation["task"] == "instance_segmentation"
    assert segmentation["licence"] == "Apache-2.0"
    assert "metrics" in segmentation
    assert "weights" not in segmentation


async def test_thresholds_that_the_operator_set_are_told_in_place_of_the_cards(
    client: httpx.AsyncClient, faces: FakeBranch, instances: FakeBranch
) -> None:
    instances.card = instances.card.model_copy(update={"class_thresholds": {"person": 0.4}})
    faces.thresholds = {"face_threshold": 0.75}
    mask_detection, segmentation = (await client.get("/models")).json()["models"]
    assert mask_detection["thresholds"] == {**faces.card.thresholds, "face_threshold": 0.75}
    assert segmentation["thresholds"] == instances.card.thresholds
    assert segmentation["class_thresholds"] == {"person": 0.4}
    instances.thresholds = {"score_threshold": 0.6}
    _, segmentation = (await client.get("/models")).json()["models"]
    assert segmentation["thresholds"]["score_threshold"] == 0.6
    assert segmentation["class_thresholds"] == {}


async def test_root_names_the_routes(client: httpx.AsyncClient) -> None:
    for route in (await client.get("/")).json()["routes"]:
        assert (await client.get(route)).status_code in (200, 405)


async def test_the_openapi_document_covers_analyze(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    analyze = document["paths"]["/analyze"]["post"]
    assert {"multipart/form-data", "application/json", "image/*"} <= analyze["requestBody"]["content"].keys()
    names = {parameter["name"] for parameter in analyze["parameters"]}
    assert names == {
        "tasks",
        "mask_detection.face_threshold",
        "instance_segmentation.score_threshold",
        "classes",
        "max_instances",
        "masks",
        "annotate",
        "timeout_s",
    }
    assert {"400", "401", "413", "415", "503", "504"} <= analyze["responses"].keys()
    assert "422" not in analyze["responses"]
    assert {"application/json", "image/jpeg", "image/png"} == analyze["responses"]["200"]["content"].keys()
    assert {"code", "message", "image"} == document["components"]["schemas"]["ErrorDetail"]["properties"].keys()
    referenced = {part.partition('"')[0] for part in json.dumps(document).split('"#/components/schemas/')[1:]}
    assert referenced <= document["components"]["schemas"].keys()


async def test_the_documentation_page_loads_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    for text in ("POST /analyze", "mask_detection.face_threshold", "multipart/form-data", "413"):
        assert text in page.text
    assert re.findall(r"<script[^>]*>", page.text) == ['<script type="module" src="web/docs.js">']
    assert page.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; ")
    assert "http://" not in page.text
    assert "https://" not in page.text


async def test_the_documentation_page_has_every_dialect(pipeline: Pipeline, limits: Limits) -> None:
    async with client_of(create_app(pipeline, limits, HTTP_PROTOCOLS.values(), frozenset())) as client:
        page = await client.get("/docs")
        paths = (await client.get("/openapi.json")).json()["paths"]
    assert page.status_code == 200
    assert {"/analyze", "/predict/{module}", "/mask_detection/{version}"} <= paths.keys()
    for path in paths:
        assert f" {path}</code>" in page.text


async def test_no_such_route(client: httpx.AsyncClient) -> None:
    for path in ("/nope", "/analyze/", "/analyze/x"):
        answer = await client.post(path)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "not_found"
        assert path in answer.json()["error"]["message"]


async def test_no_such_method(client: httpx.AsyncClient) -> None:
    answer = await client.get("/analyze")
    assert answer.status_code == 405
    assert answer.json()["error"]["code"] == "method_not_allowed"
    assert answer.headers["allow"] == "POST"


async def test_the_clients_request_id_is_echoed(client: httpx.AsyncClient, photo: bytes, faces: FakeBranch) -> None:
    answer = await client.post("/analyze", content=photo, headers={**PNG, "X-Request-ID": "a-1.B_2"})
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == faces.calls[0].request_id == "a-1.B_2"


@pytest.mark.parametrize("bad", ["", "a b", "x" * 129, "a\tb", "<script>", "é"])
async def test_a_malformed_request_id_is_replaced(client: httpx.AsyncClient, photo: bytes, bad: str) -> None:
    answer = await client.post(
        "/analyze", content=photo, headers={b"Content-Type": b"image/png", b"X-Request-ID": bad.encode()}
    )
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert len(answer.headers["x-request-id"]) == 36


async def test_errors_carry_the_request_id_too(client: httpx.AsyncClient) -> None:
    for path in ("/nope", "/analyze"):
        answer = await client.post(path, headers={"X-Request-ID": "mine"})
        assert answer.is_error
        assert answer.headers["x-request-id"] == "mine"


async def test_our_own_fault_tells_nothing_of_our_insides(
    client: httpx.AsyncClient, photo: bytes, faces: FakeBranch, caplog: pytest.LogCaptureFixture
) -> None:
    faces.error = RuntimeError("secret insides")
    with caplog.at_level(logging.DEBUG):
        answer = await client.post("/analyze", content=photo, headers={**PNG, "X-Request-ID": "mine"})
    assert answer.status_code == 500
    assert answer.json() == {"error": {"code": "internal", "message": "the service failed on this request"}}
    assert answer.headers["x-request-id"] == "mine"
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "mine" in record.getMessage()
    assert repr(photo)[2:40] not in caplog.text
    faces.error = None
    assert (await client.post("/analyze", content=photo, headers=PNG)).status_code == 200


async def test_logs_hold_no_picture(
    client: httpx.AsyncClient, photo: bytes, faces: FakeBranch, caplog: pytest.LogCaptureFixture
) -> None:
    encoded = base64.b64encode(photo).decode()
    faces.error = RuntimeError("at fault")
    with caplog.at_level(logging.INFO):
        await client.post("/analyze", content=photo, headers=PNG)
        await client.post("/analyze", content=photo[:200], headers=PNG)
        await client.post("/analyze", files={"image": photo})
        await client.post("/analyze", json={"images": [encoded], "options": {"masks": encoded}})
    assert "at fault" in caplog.text
    assert "IHDR" not in caplog.text
    assert encoded[:30] not in caplog.text


async def test_without_the_native_dialect_health_remains(pipeline: Pipeline, limits: Limits) -> None:
    async with client_of(create_app(pipeline, limits, (), frozenset())) as client:
        assert (await client.post("/analyze")).status_code == 404
        assert (await client.get("/livez")).status_code == 200


@pytest.fixture
def locked(pipeline: Pipeline, limits: Limits) -> FastAPI:
    return create_app(pipeline, limits, [native.routes], ApiKeys.of("key-one", "schlüssel"))


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer key-one"},
        {"Authorization": "bearer  key-one"},
        {"X-API-Key": "key-one"},
        {"X-API-Key": "schlüssel".encode()},
    ],
)
async def test_a_key_opens(locked: FastAPI, headers: dict[str, str | bytes]) -> None:
    async with client_of(locked) as client:
        assert (await client.get("/models", headers=headers)).status_code == 200  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic key-one"},
        {"Authorization": "key-one"},
        {"X-API-Key": "key-on"},
        {"X-API-Key": ""},
        {"X-API-Key": b"\xff\xfe"},
    ],
)
async def test_anything_else_does_not(locked: FastAPI, headers: dict[str, str | bytes], faces: FakeBranch) -> None:
    async with client_of(locked) as client:
        for path in ("/analyze", "/models", "/docs", "/openapi.json", "/", "/nope"):
            answer = await client.post(path, headers=headers)  # type: ignore[arg-type]
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["error"]["code"] == "unauthorized"
            assert "x-request-id" in answer.headers
    assert faces.calls == []


async def test_health_needs_no_key(locked: FastAPI) -> None:
    async with client_of(locked) as client:
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200


PREFLIGHT = {"Origin": "https://photos.example", "Access-Control-Request-Method": "POST"}


async def test_other_origins_are_refused_by_default(client: httpx.AsyncClient, photo: bytes) -> None:
    assert (await client.options("/analyze", headers=PREFLIGHT)).status_code == 405
    answer = await client.post("/analyze", content=photo, headers={**PNG, "Origin": "https://photos.example"})
    assert "access-control-allow-origin" not in answer.headers


async def test_listed_origins_may_read_answers(pipeline: Pipeline, limits: Limits, photo: bytes) -> None:
    origins = ["https://photos.example"]
    async with client_of(create_app(pipeline, limits, [native.routes], ApiKeys.of("key"), origins)) as client:
        asked = await client.options(
            "/analyze", headers={**PREFLIGHT, "Access-Control-Request-Headers": "x-api-key, content-type"}
        )
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == "https://photos.example"
        assert "x-api-key" in asked.headers["access-control-allow-headers"]
        refused = await client.options("/analyze", headers={**PREFLIGHT, "Origin": "https://else.example"})
        assert refused.status_code == 400
        headers = {**PNG, "X-API-Key": "key", "Origin": "https://photos.example"}
        answer = await client.post("/analyze", content=photo, headers=headers)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://photos.example"
        unknown = await client.post("/analyze", content=photo, headers={**PNG, "Origin": "https://photos.example"})
        assert unknown.status_code == 401
        assert unknown.headers["access-control-allow-origin"] == "https://photos.example"


@pytest.mark.parametrize("path", ["/photos", "/photos/"])
async def test_behind_a_prefix(app: FastAPI, photo: bytes, path: str) -> None:
    transport = httpx.ASGITransport(app, root_path="/photos")
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get(path)).json()["status"] == "alive"
        page = await client.get("/photos/docs")
        assert page.status_code == 200
        document = await client.get("/photos/openapi.json")
        assert document.json()["servers"] == [{"url": "/photos"}]
        assert (await client.post("/photos/analyze", content=photo, headers=PNG)).status_code == 200


async def test_a_key_that_asks_for_too_much_is_told_when_to_come_again(
    pipeline: Pipeline, limits: Limits, photo: bytes
) -> None:
    keys = ApiKeys([KeyEntry(name="phone", sha256=digest(b"key"), requests_per_s=1)])
    app = create_app(pipeline, limits, [kserve.routes, native.routes], keys, write_refusal=write_refusal)
    async with client_of(app) as client:
        asked = {**PNG, "X-API-Key": "key"}
        for _ in range(2):
            assert (await client.post("/analyze", content=photo, headers=asked)).status_code == 200
        refused = await client.post("/analyze", content=photo, headers=asked)
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["error"]["code"] == "too_many_requests"
        kserve_form = await client.get("/v1/models/mask_detection", headers=asked)
        assert kserve_form.status_code == 429
        assert "1 requests a second" in kserve_form.json()["error"]
        assert (await client.get("/livez")).status_code == 200
