import ast
import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlencode

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from deployments.imaging.masks import encode_rle
from deployments.imaging.rle import decode_rle
from deployments.results import Box, Face, Instance
from serve_app.http.app import create_app
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.native import routes as native
from serve_app.protocols.paddlehub import routes as paddlehub
from serve_app.protocols.paddlehub import v1
from tests.photos import SHARED, astronaut, jpeg, needs_shared, png
from tests.serve_app.conftest import HEIGHT, WIDTH, FakeBranch, client_of
from tests.serve_app.protocols.loopback import serving

MASK = "/predict/pyramidbox_lite_server_mask"
MASK_1X = "/predict/image/pyramidbox_lite_server_mask"
SOLOV2 = "/predict/solov2"
MODULES = {"pyramidbox_lite_server_mask", "solov2"}
Body = dict[str, Any]


def paddlehub_app(pipeline: Pipeline, limits: Limits) -> FastAPI:
    return create_app(pipeline, limits, [native.routes, paddlehub.routes], frozenset())


@pytest.fixture
def app(pipeline: Pipeline, limits: Limits) -> FastAPI:
    return paddlehub_app(pipeline, limits)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def noise_jpeg(width: int, height: int) -> bytes:
    return jpeg(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


# 2.x


async def test_a_face_as_paddlehub_writes_it(client: httpx.AsyncClient, photo: bytes) -> None:
    answer = await client.post(MASK, json={"images": [b64(photo)]})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    path = answer.json()["results"][0]["path"]
    kind, _, clock = path.partition("=")
    assert kind == "ndarray_time"
    assert float(clock) > 1e15
    assert clock.endswith(".0")
    # Keys sorted, compact, a line feed at the end; the confidence is a float32 widened to a double.
    confidence = float(np.float32(0.912345678))
    assert answer.text == (
        '{"msg":"","results":[{"data":[{"bottom":18,'
        f'"confidence":{confidence!r},"label":"MASK","left":18,"right":30,"top":6}}],"path":"{path}"}}],"status":"000"}}\n'
    )


async def test_confidence_is_that_of_the_label(client: httpx.AsyncClient, faces: FakeBranch, photo: bytes) -> None:
    faces.results = [Face(Box(1, 2, 3, 4), 0.7, "NO MASK", 0.935)]
    answer = (await client.post(MASK, json={"images": [b64(photo)]})).json()
    (face,) = answer["results"][0]["data"]
    assert (face["label"], face["confidence"]) == ("NO MASK", pytest.approx(0.935))


async def test_coordinates_are_whole_and_inside_unless_multi_scale(
    client: httpx.AsyncClient, faces: FakeBranch, photo: bytes
) -> None:
    faces.results = [Face(Box(-3.5, 1.9, WIDTH + 2.5, 12.7), 0.9, "MASK", 0.9)]

    async def sides(**arguments: object) -> list[float]:
        answer = await client.post(MASK, json={"images": [b64(photo)], **arguments})
        (face,) = answer.json()["results"][0]["data"]
        return [face[side] for side in ("left", "top", "right", "bottom")]

    whole = await sides()
    assert whole == [0, 1, WIDTH, 12]
    assert all(type(side) is int for side in whole)
    floats = await sides(use_multi_scale=True)
    assert floats == [0.0, 1.9, WIDTH, 12.7]
    assert all(type(side) is float for side in floats)


async def test_several_pictures_none_and_no_face(client: httpx.AsyncClient, faces: FakeBranch, photo: bytes) -> None:
    several = (await client.post(MASK, json={"images": [b64(photo)] * 3})).json()["results"]
    assert [len(result["data"]) for result in several] == [1, 1, 1]
    faces.results = []
    (faceless,) = (await client.post(MASK, json={"images": [b64(photo)]})).json()["results"]
    assert faceless["data"] == []
    assert (await client.post(MASK, json={"images": []})).text == '{"msg":"","results":[],"status":"000"}\n'


@pytest.mark.parametrize("module", [MASK, SOLOV2])
async def test_what_newer_clients_add_changes_nothing(client: httpx.AsyncClient, photo: bytes, module: str) -> None:
    extras = {"visualize": False, "fileType": 1, "logId": "a", "use_gpu": False, "batch_size": 2}
    answers = [
        (await client.post(module, json={"images": [b64(photo)], **more})).json()
        for more in ({}, extras, {"visualize": None})
    ]
    for answer in answers:
        assert answer["status"] == "000", answer["msg"]
    if module == SOLOV2:
        assert answers[0] == answers[1] == answers[2]


async def test_documented_arguments_of_the_mask_module(
    client: httpx.AsyncClient, faces: FakeBranch, photo: bytes
) -> None:
    arguments = {"shrink": 0.3, "batch_size": 4, "use_gpu": True, "visualization": True, "use_multi_scale": False}
    answer = await client.post(MASK, json={"images": [b64(photo)], "confs_threshold": 0.8, **arguments})
    assert answer.json()["status"] == "000"
    await client.post(MASK, json={"images": [b64(photo)]})
    assert [call.options.face_threshold for call in faces.calls] == [0.8, None]  # type: ignore[union-attr]


async def test_base64_may_have_line_breaks_or_a_data_uri(client: httpx.AsyncClient, photo: bytes) -> None:
    for text in (base64.encodebytes(photo).decode(), "data:image/png;base64," + b64(photo)):
        assert (await client.post(MASK, json={"images": [text]})).json()["status"] == "000"


def decoded(answer: httpx.Response, height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Segm, label, score, as PaddleHub's documentation reads them."""
    assert int(answer.headers["content-length"]) == len(answer.content)
    results = answer.json()["results"]
    raw = {key: base64.b64decode(value.encode(), validate=True) for key, value in results.items()}
    segm = np.frombuffer(raw["segm"], np.int32).reshape(-1, height, width)
    return segm, np.frombuffer(raw["label"], np.int64), np.frombuffer(raw["score"], np.float32)


async def test_dense_masks_at_the_original_size(client: httpx.AsyncClient, instances: FakeBranch, photo: bytes) -> None:
    answer = await client.post(SOLOV2, json={"images": [b64(photo)]})
    segm, label, score = decoded(answer, HEIGHT, WIDTH)
    expected = [decode_rle(instance.mask) for instance in instances.results]  # type: ignore[union-attr]
    assert np.array_equal(segm, np.stack(expected).astype(np.int32))
    assert label.tolist() == [56, 0]
    assert score.tolist() == pytest.approx([0.95, 0.9])
    keys = [answer.text.index(f'"{key}"') for key in ("msg", "results", "label", "score", "segm", "status")]
    assert keys == sorted(keys)
    assert answer.text.endswith('"},"status":"000"}\n')


async def test_no_instance_is_n_0(client: httpx.AsyncClient, instances: FakeBranch, photo: bytes) -> None:
    instances.results = []
    answer = await client.post(SOLOV2, json={"images": [b64(photo)]})
    assert answer.text == '{"msg":"","results":{"label":"","score":"","segm":""},"status":"000"}\n'
    segm, label, score = decoded(answer, HEIGHT, WIDTH)
    assert (segm.shape, len(label), len(score)) == ((0, HEIGHT, WIDTH), 0, 0)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (5, 7), (301, 211), (1023, 769)])
@pytest.mark.parametrize("count", [1, 2, 3])
async def test_masks_of_any_size_and_number_survive_the_slabs(
    client: httpx.AsyncClient, instances: FakeBranch, width: int, height: int, count: int
) -> None:
    masks = np.random.default_rng(1).random((count, height, width)) < 0.5
    box = Box(0, 0, width, height)
    instances.results = [Instance(2, "car", 0.5, box, encode_rle(mask), int(mask.sum())) for mask in masks]
    answer = await client.post(SOLOV2, json={"images": [b64(png(np.zeros((height, width, 3), np.uint8)))]})
    segm, _, _ = decoded(answer, height, width)
    assert np.array_equal(segm, masks)


async def test_solov2_takes_the_first_picture_and_filters_by_threshold(
    client: httpx.AsyncClient, instances: FakeBranch, photo: bytes
) -> None:
    answer = await client.post(SOLOV2, json={"images": [b64(photo), "no picture"], "threshold": 0.4})
    assert answer.json()["status"] == "000"
    await client.post(SOLOV2, json={"images": [b64(photo)], "visualization": True})
    assert [call.options.score_threshold for call in instances.calls] == [0.4, None]  # type: ignore[union-attr]
    assert [call.options.max_instances for call in instances.calls] == [100, 100]  # type: ignore[union-attr]


async def test_masks_over_the_memory_limit_are_refused_with_the_way_out(
    client: httpx.AsyncClient, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 2 * HEIGHT * WIDTH * 4
    monkeypatch.setattr(paddlehub, "MAX_DENSE_BYTES", size)
    assert (await client.post(SOLOV2, json={"images": [b64(photo)]})).json()["status"] == "000"
    monkeypatch.setattr(paddlehub, "MAX_DENSE_BYTES", size - 1)
    answer = await client.post(SOLOV2, json={"images": [b64(photo)]})
    assert answer.status_code == 200
    assert answer.json()["status"] == "101"
    for named in (f"2 masks of {WIDTH}x{HEIGHT}", str(size), str(size - 1), "threshold", "/analyze"):
        assert named in answer.json()["msg"]


@pytest.mark.parametrize(
    ("code", "status"), [("overloaded", 503), ("unavailable", 503), ("deadline_exceeded", 200), ("internal", 200)]
)
async def test_failures_of_the_models_keep_the_envelope(
    client: httpx.AsyncClient, faces: FakeBranch, instances: FakeBranch, photo: bytes, code: str, status: int
) -> None:
    faces.fail(code)
    instances.fail(code)
    for module in (MASK, SOLOV2):
        answer = await client.post(module, json={"images": [b64(photo)]})
        assert answer.status_code == status
        assert ("Retry-After" in answer.headers) == (status == 503)
        assert (answer.json()["status"], answer.json()["results"]) == ("101", "")
        assert code in answer.json()["msg"]
    old = await client.post(MASK_1X, files={"image": photo})
    assert (old.status_code, old.json()["status"]) == (status, "-1")
    assert code in old.json()["msg"]


GOOD = b64(png(np.zeros((HEIGHT, WIDTH, 3), np.uint8)))
CUT = b64(noise_jpeg(40, 40)[:400])
JSON = {"Content-Type": "application/json"}
MALFORMED: dict[str, tuple[str, Body, int, str, str]] = {
    "unknown module": ("/predict/lac", {"json": {"images": [GOOD]}}, 200, "111", "Module lac is not available."),
    "unknown module, no body": ("/predict/x", {}, 200, "111", "Module x is not available."),
    "no images": (MASK, {"json": {}}, 200, "101", "'images' is missing"),
    "null images": (MASK, {"json": {"images": None}}, 200, "101", "'images'"),
    "a bare string": (MASK, {"json": {"images": GOOD}}, 200, "101", "'images'"),
    "images an object": (MASK, {"json": {"images": {"0": GOOD}}}, 200, "101", "'images'"),
    "images a number": (SOLOV2, {"json": {"images": 3}}, 200, "101", "'images'"),
    "an image of null": (MASK, {"json": {"images": [None]}}, 200, "101", "'images'"),
    "an image a list": (MASK, {"json": {"images": [[GOOD]]}}, 200, "101", "'images'"),
    "base64 cut": (MASK, {"json": {"images": ["abcde"]}}, 200, "101", "image 1: the base64 is broken"),
    "no base64": (MASK, {"json": {"images": [GOOD, "%%%"]}}, 200, "101", "image 2: the base64 is broken"),
    "other alphabets": (SOLOV2, {"json": {"images": ["口罩"]}}, 200, "101", "image 1: the base64 is broken"),
    "empty string": (MASK, {"json": {"images": [""]}}, 200, "101", "image 1: is empty"),
    "no picture": (MASK, {"json": {"images": [GOOD, b64(b"hello")]}}, 200, "101", "image 2: the data is not a JPEG"),
    "no picture, solov2": (SOLOV2, {"json": {"images": [b64(b"hello")]}}, 200, "101", "image 1: the data is not"),
    "half a picture": (SOLOV2, {"json": {"images": [CUT]}}, 200, "101", "truncated"),
    "no pictures, solov2": (SOLOV2, {"json": {"images": []}}, 200, "101", "'images' is an empty list"),
    "too many pictures": (MASK, {"json": {"images": [GOOD] * 9}}, 200, "101", "8 images"),
    "unknown argument": (MASK, {"json": {"images": [GOOD], "foo": 1}}, 200, "101", "'foo'"),
    "the other module's argument": (SOLOV2, {"json": {"images": [GOOD], "shrink": 0.5}}, 200, "101", "'shrink'"),
    "image beside images": (SOLOV2, {"json": {"images": [GOOD], "image": "/etc/passwd"}}, 200, "101", "'image'"),
    "paths": (MASK, {"json": {"images": [GOOD], "paths": ["/etc/passwd"]}}, 200, "101", "'paths' is refused"),
    "paths alone": (MASK, {"json": {"paths": ["/etc/passwd"]}}, 200, "101", "'paths' is refused"),
    "output_dir": (MASK, {"json": {"images": [GOOD], "output_dir": "/srv/x"}}, 200, "101", "'output_dir' is refused"),
    "data": (MASK, {"json": {"images": [], "data": {"image": ["/etc/passwd"]}}}, 200, "101", "'data' is refused"),
    "save_dir": (SOLOV2, {"json": {"images": [GOOD], "save_dir": "/tmp"}}, 200, "101", "'save_dir' is refused"),
    "threshold a word": (MASK, {"json": {"images": [GOOD], "confs_threshold": "high"}}, 200, "101", "confs_threshold"),
    "threshold a bool": (MASK, {"json": {"images": [GOOD], "confs_threshold": True}}, 200, "101", "confs_threshold"),
    "threshold 7": (SOLOV2, {"json": {"images": [GOOD], "threshold": 7}}, 200, "101", "'threshold'"),
    "threshold negative": (SOLOV2, {"json": {"images": [GOOD], "threshold": -0.1}}, 200, "101", "'threshold'"),
    "threshold NaN": (MASK, {"content": b'{"images":[],"confs_threshold":NaN}', "headers": JSON}, 400, "101", "JSON"),
    "threshold 1e999": (MASK, {"content": b'{"images":[],"confs_threshold":1e999}', "headers": JSON}, 400, "101", ""),
    "shrink 0": (MASK, {"json": {"images": [GOOD], "shrink": 0}}, 200, "101", "'shrink'"),
    "shrink a list": (MASK, {"json": {"images": [GOOD], "shrink": [1]}}, 200, "101", "'shrink'"),
    "batch_size 0": (MASK, {"json": {"images": [GOOD], "batch_size": 0}}, 200, "101", "'batch_size'"),
    "multi-scale an object": (MASK, {"json": {"images": [GOOD], "use_multi_scale": {}}}, 200, "101", "use_multi_scale"),
    "null": (MASK, {"content": b"null", "headers": JSON}, 200, "112", "JSON object"),
    "a JSON string": (MASK, {"content": b'"images"', "headers": JSON}, 200, "112", "JSON object"),
    "a JSON array": (SOLOV2, {"json": [GOOD]}, 200, "112", "JSON object"),
    "a form": (MASK, {"data": {"images": GOOD}}, 200, "112", "'application/json'"),
    "no content type": (MASK, {"content": b"{}"}, 200, "112", "'application/json'"),
    "a picture as the body": (
        SOLOV2,
        {"content": b"\xff\xd8", "headers": {"Content-Type": "image/jpeg"}},
        200,
        "112",
        "",
    ),
    "empty body": (MASK, {"content": b"", "headers": JSON}, 400, "101", "not valid JSON"),
    "half the JSON": (MASK, {"content": b'{"images": ["', "headers": JSON}, 400, "101", "not valid JSON"),
    "not UTF-8": (MASK, {"content": b'{"images": ["\xff"]}', "headers": JSON}, 400, "101", "not valid JSON"),
    "deep JSON": (SOLOV2, {"content": b"[" * 100_000, "headers": JSON}, 400, "101", "too many values"),
    "wide JSON": (SOLOV2, {"content": b"[" + b"0," * 200_000 + b"0]", "headers": JSON}, 400, "101", "too many values"),
    "body too large": (MASK, {"json": {"images": ["A" * 1_000_001]}}, 200, "101", "1000000 bytes"),
    "no gzip": (
        MASK,
        {"content": b"{}", "headers": {**JSON, "Content-Encoding": "gzip"}},
        200,
        "101",
        "gzip",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_requests_get_an_honest_envelope(client: httpx.AsyncClient, name: str) -> None:
    path, request, http_status, status, named = MALFORMED[name]
    answer = await client.post(path, **request)
    assert answer.status_code == http_status
    assert answer.text.endswith("}\n")
    body = answer.json()
    assert list(body) == ["msg", "results", "status"]
    assert (body["results"], body["status"]) == ("", status)
    assert named in body["msg"]
    assert body["msg"]


async def test_a_get_is_not_a_prediction(client: httpx.AsyncClient) -> None:
    assert (await client.get(MASK)).status_code == 405
    assert (await client.get(MASK_1X)).status_code == 405


# 1.x


def literal(answer: httpx.Response) -> Any:
    """``results`` as clients of 1.x read them, which use eval."""
    body = answer.json()
    assert (answer.status_code, body["msg"], body["status"]) == (200, "", "0"), body
    assert type(body["results"]) is str
    return ast.literal_eval(body["results"])


async def test_uploads_come_back_drawn_on(client: httpx.AsyncClient, faces: FakeBranch, photo: bytes) -> None:
    files = [("image", ("a.png", photo)), ("image", ("b.png", photo))]
    for fields in ({}, {"visual_result": "True"}):
        results = literal(await client.post(MASK_1X, files=files, data=fields))
        assert [list(result) for result in results] == [["data", "path", "id", "base64"]] * 2
        assert [(result["path"], result["id"]) for result in results] == [("a.png", 1), ("b.png", 2)]
        (face,) = results[0]["data"]
        assert list(face) == ["label", "left", "right", "top", "bottom", "confidence"]
        (found,) = faces.results
        assert face["label"] == "MASK"
        assert face["left"] == found.box.left  # type: ignore[union-attr]
        assert face["confidence"] == found.confidence  # type: ignore[union-attr]
        prefix, _, data = results[0]["base64"].partition(",")
        assert prefix == "data:image/jpg;base64"
        picture = Image.open(BytesIO(base64.b64decode(data)))
        assert (picture.format, picture.size) == ("JPEG", (WIDTH, HEIGHT))
        plain = Image.open(BytesIO(jpeg(np.asarray(Image.open(BytesIO(photo)).convert("RGB")), 90)))
        assert np.abs(np.asarray(picture).astype(int) - np.asarray(plain).astype(int)).max() > 50


@pytest.mark.parametrize("form", ["urlencoded", "multipart"])
async def test_base64_in_data_gets_no_picture(client: httpx.AsyncClient, photo: bytes, form: str) -> None:
    data = json.dumps({"b64s": [b64(photo), b64(photo)]})
    request: Body = {"data": {"data": data}} if form == "urlencoded" else {"files": {"data": (None, data)}}
    results = literal(await client.post(MASK_1X, **request))
    assert [list(result) for result in results] == [["data", "path", "id"]] * 2
    assert [(result["path"], result["id"]) for result in results] == [("", 1), ("", 2)]


async def test_no_face_is_a_sentence_with_the_plain_picture(
    client: httpx.AsyncClient, faces: FakeBranch, photo: bytes
) -> None:
    faces.results = []
    (result,) = literal(await client.post(MASK_1X, files={"image": ("a.png", photo)}))
    assert (result["data"], result["id"]) == ("No face.", 1)
    assert result["base64"].startswith("data:image/jpg;base64,")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("口罩.png", "口罩.png"),
        ("it's 'mine'.png", "it's 'mine'.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\me.jpg", "me.jpg"),
        ("..", ""),
        ("__import__('os').getpid()", "__import__('os').getpid()"),
        ("a" * 300 + ".jpg", "a" * 251 + ".jpg"),
    ],
)
async def test_names_of_files_come_back_as_names(client: httpx.AsyncClient, photo: bytes, name: str, path: str) -> None:
    (result,) = literal(await client.post(MASK_1X, files={"image": (name, photo)}))
    assert result["path"] == path


async def test_modules_are_listed(client: httpx.AsyncClient) -> None:
    for method in ("GET", "POST"):
        answer = await client.request(method, "/get/modules")
        choose, *modules = answer.json()["module_info"]["cv_module"]
        assert choose == {"Choose...": "Choose..."}
        assert {name for module in modules for name in module} == MODULES
        assert list(answer.json()["module_info"]) == ["cv_module"]


def form(**fields: str) -> Body:
    return {"data": fields}


async def test_data_is_never_evaluated(client: httpx.AsyncClient, tmp_path: Path) -> None:
    trap = tmp_path / "evaluated"
    code = f"__import__('pathlib').Path({str(trap)!r}).touch() or {{'b64s': []}}"
    answer = await client.post(MASK_1X, data={"data": code})
    assert answer.json()["status"] == "-1"
    assert not trap.exists()


MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}
MALFORMED_1X: dict[str, tuple[Body, str]] = {
    "no body": ({}, "send a form"),
    "JSON": ({"json": {"images": [GOOD]}}, "send a form"),
    "a picture as the body": ({"content": b"\xff\xd8", "headers": {"Content-Type": "image/jpeg"}}, "send a form"),
    "empty form": ({"content": b"", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, "neither"),
    "other fields only": (form(visual_result="True"), "neither"),
    "files of another name": ({"files": {"file": b"\xff\xd8"}}, "neither"),
    "an image that is no file": (form(image="data:image/png;base64," + GOOD), "Unrecognized file type"),
    "an image that is text": ({"files": {"image": (None, GOOD)}}, "Unrecognized file type"),
    "files and data": (
        {"files": {"image": b"\xff\xd8"}, "data": {"data": json.dumps({"b64s": [GOOD]})}},
        "not both",
    ),
    "an empty file": ({"files": {"image": ("a.jpg", b"")}}, "image 1: the picture is empty"),
    "no picture": ({"files": {"image": b"hello"}}, "image 1: the data is not a JPEG"),
    "half a picture": ({"files": [("image", base64.b64decode(data)) for data in (GOOD, CUT)]}, "image 2"),
    "too many files": ({"files": [("image", b"\xff\xd8")] * 9}, "8 images"),
    "no boundary": ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, "boundary"),
    "no closing boundary": (
        {
            "content": b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nab',
            "headers": MULTIPART,
        },
        "truncated",
    ),
    "no multipart": ({"content": b"hello", "headers": MULTIPART}, "multipart"),
    "no field name": ({"content": b"--x\r\nA: b\r\n\r\nab\r\n--x--\r\n", "headers": MULTIPART}, "no field name"),
    "data no JSON": (form(data="b64s"), "'data' must be JSON"),
    "data a Python literal": (form(data=str({"b64s": [GOOD]})), "'data' must be JSON"),
    "data NaN": (form(data='{"b64s": [NaN]}'), "'data' must be JSON"),
    "data empty": (form(data=""), "'data' must be JSON"),
    "data a list": (form(data="[]"), "'data' must be JSON"),
    "data null": (form(data="null"), "'data' must be JSON"),
    "data without b64s": (form(data="{}"), "'data' must be JSON"),
    "data with paths": (form(data='{"b64s": [], "paths": ["/etc/passwd"]}'), "'data' must be JSON"),
    "b64s a string": (form(data=json.dumps({"b64s": GOOD})), "'data' must be JSON"),
    "b64s empty": (form(data='{"b64s": []}'), "'b64s' is an empty list"),
    "b64s of numbers": (form(data='{"b64s": [1]}'), "image 1: must be a base64 string"),
    "b64s broken": (form(data=json.dumps({"b64s": [GOOD, GOOD[:41]]})), "image 2: the base64 is broken"),
    "b64s of text": (form(data=json.dumps({"b64s": [b64(b"hello")]})), "image 1: the data is not a JPEG"),
    "too many b64s": (form(data=json.dumps({"b64s": [GOOD] * 9})), "8 images"),
    "too many fields": (form(**{f"f{n}": "" for n in range(101)}), "100 fields"),
    "wide data": (form(data="[" + "0," * 100_000 + "0]"), "too many values"),
    "deep data": (form(data="[" * 50_000), "'data' must be JSON"),
    "body too large": (form(data="A" * 1_000_001), "1000000 bytes"),
}


@pytest.mark.parametrize("name", MALFORMED_1X)
async def test_malformed_requests_of_1x_say_what_is_wrong(client: httpx.AsyncClient, name: str) -> None:
    request, named = MALFORMED_1X[name]
    answer = await client.post(MASK_1X, **request)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["results"], body["status"]) == ("", "-1")
    assert named in body["msg"]


async def test_unknown_modules_of_1x(client: httpx.AsyncClient, photo: bytes) -> None:
    answer = await client.post("/predict/image/lac", files={"image": photo})
    assert answer.json() == {"error": "Module lac is not available."}
    answer = await client.post("/predict/image/solov2", files={"image": photo})
    assert answer.json()["status"] == "-1"
    assert "/predict/solov2" in answer.json()["msg"]


@given(st.dictionaries(st.text(), st.binary(), max_size=5), st.integers(3, 8))
def test_forms_unquote_in_pieces(fields: dict[str, bytes], piece: int) -> None:
    body = urlencode(fields, encoding="utf-8", errors="replace").encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(v1, "UNQUOTED_AT_ONCE", piece)
        parsed = v1.parse_urlencoded(body)
    expected = {name.encode("utf-8", "replace").decode(): value for name, value in fields.items()}
    assert parsed == (expected or {"": b""})


@given(st.lists(st.sampled_from([b"%", b"4", b"1", b"g", b"F", b"+", b"a%", b"%2", b"\xff"])).map(b"".join))
def test_broken_escapes_stay_as_they_are(text: bytes) -> None:
    assert v1.parse_urlencoded(b"data=" + text) == {"data": unquote_to_bytes(text.replace(b"+", b" "))}


# Neither


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.just(GOOD),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
ARGUMENTS = st.dictionaries(
    st.sampled_from(["images", "confs_threshold", "threshold", "shrink", "visualization", "paths", "batch_size"]),
    JSON_VALUES | st.lists(st.just(GOOD), max_size=2),
)
FUZZ = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(st.sampled_from([MASK, SOLOV2]), ARGUMENTS | JSON_VALUES)
async def test_any_json_gets_the_envelope(app: FastAPI, path: str, content: object) -> None:
    async with client_of(app) as client:
        answer = await client.post(path, content=json.dumps(content), headers=JSON)
    assert answer.status_code in (200, 400)
    assert answer.json().keys() == {"msg", "results", "status"}
    assert answer.json()["status"] in ("000", "101", "112")


@FUZZ
@given(
    st.sampled_from([MASK, SOLOV2, MASK_1X]),
    st.binary(max_size=300),
    st.sampled_from(["application/json", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", ""]),
)
async def test_any_bytes_get_the_envelope(app: FastAPI, path: str, content: bytes, media_type: str) -> None:
    body = b"--x\r\n" + content if "boundary" in media_type else content
    async with client_of(app) as client:
        answer = await client.post(path, content=body, headers={"Content-Type": media_type})
    assert answer.status_code in (200, 400)
    assert answer.json().keys() == {"msg", "results", "status"}


@FUZZ
@given(JSON_VALUES | st.fixed_dictionaries({"b64s": JSON_VALUES | st.lists(st.just(GOOD), max_size=2)}))
async def test_any_data_of_1x_gets_the_envelope(app: FastAPI, content: object) -> None:
    async with client_of(app) as client:
        answer = await client.post(MASK_1X, data={"data": json.dumps(content)})
    assert answer.status_code == 200
    assert answer.json()["status"] in ("0", "-1")


# Clients, each as PaddleHub's documentation has them: only the address and the photo's path are filled in.


CLIENT_2X = """
import base64, json, sys
import cv2, requests
url, photo = sys.argv[1:]
encoded = base64.b64encode(cv2.imencode(".jpg", cv2.imread(photo))[1].tobytes()).decode("utf8")
answer = requests.post(url + "/predict/pyramidbox_lite_server_mask",
                       headers={"Content-type": "application/json"}, data=json.dumps({"images": [encoded]}))
print(json.dumps(answer.json()["results"][0]["data"]))
"""
CLIENT_2X_SOLOV2 = """
import base64, json, sys
import cv2, numpy, requests
url, photo = sys.argv[1:]
picture = cv2.imread(photo)
height, width, _ = picture.shape
encoded = base64.b64encode(cv2.imencode(".jpg", picture)[1].tobytes()).decode("utf8")
answer = requests.post(url + "/predict/solov2",
                       headers={"Content-type": "application/json"}, data=json.dumps({"images": [encoded]}))
results = answer.json()["results"]
masks = numpy.frombuffer(base64.b64decode(results["segm"].encode("utf8")), dtype=numpy.int32)
masks = masks.reshape((-1, height, width))
labels = numpy.frombuffer(base64.b64decode(results["label"].encode("utf8")), dtype=numpy.int64)
scores = numpy.frombuffer(base64.b64decode(results["score"].encode("utf8")), dtype=numpy.float32)
print(json.dumps([{"label": int(label), "score": float(score), "area": int(mask.sum())}
                  for mask, label, score in zip(masks, labels, scores)]))
"""
CLIENT_1X_FILES = """
import base64, json, os, sys
import requests
url, photo = sys.argv[1:]
with open(photo, "rb") as file:
    answer = requests.post(url + "/predict/image/pyramidbox_lite_server_mask",
                           files=[("image", file)], data={"visual_result": "True"})
results = eval(answer.json()["results"])
os.makedirs("output", exist_ok=True)
for item in results:
    with open(os.path.join("output", item["path"]), "wb") as drawn:
        drawn.write(base64.b64decode(item["base64"].split(",")[-1]))
print(json.dumps(results[0]["data"]))
"""
CLIENT_1X_BASE64 = """
import base64, json, sys
import requests
url, photo = sys.argv[1:]
with open(photo, "rb") as file:
    encoded = str(base64.b64encode(file.read()), encoding="utf8")
answer = requests.post(url + "/predict/image/pyramidbox_lite_server_mask",
                       data={"data": json.dumps({"b64s": [encoded]})})
print(json.dumps(eval(answer.json()["results"])[0]["data"]))
"""
CLIENTS = {"2.x": CLIENT_2X, "1.x files": CLIENT_1X_FILES, "1.x base64": CLIENT_1X_BASE64}


def run_client(script: str, url: str, photo: Path, folder: Path) -> list[Body]:
    """Run a client's script in a process and a folder of its own; what it printed."""
    command = [sys.executable, "-c", script, url, str(photo)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found: list[Body] = json.loads(done.stdout)
    return found


@pytest.fixture
def url(app: FastAPI) -> Iterator[str]:
    with serving(app) as base:
        yield base


@pytest.fixture
def photo_file(tmp_path: Path, photo: bytes) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(photo)
    return path


@pytest.mark.parametrize("name", CLIENTS)
def test_documented_clients_read_the_answer(url: str, photo_file: Path, tmp_path: Path, name: str) -> None:
    (face,) = run_client(CLIENTS[name], url, photo_file, tmp_path)
    assert face["label"] == "MASK"
    assert face["confidence"] == pytest.approx(0.912345678)
    assert (face["left"], face["top"]) == (pytest.approx(18, abs=0.2), 6)
    if name == "1.x files":
        with Image.open(tmp_path / "output" / "photo.png") as drawn:
            assert drawn.size == (WIDTH, HEIGHT)


def test_the_documented_solov2_client_reads_the_masks(
    url: str, instances: FakeBranch, photo_file: Path, tmp_path: Path
) -> None:
    found = run_client(CLIENT_2X_SOLOV2, url, photo_file, tmp_path)
    assert [(each["label"], each["area"]) for each in found] == [
        (instance.label_id, instance.area)  # type: ignore[union-attr]
        for instance in instances.results
    ]


PUBLISHED = [
    ("MASK", (455.518, 186.380, 658.829, 442.673)),
    ("MASK", (938.908, 326.986, 1121.080, 586.047)),
    ("NO MASK", (1166.190, 295.552, 1325.621, 496.941)),
]
"""PaddleHub's answer for family_mask.jpg: label, (left, top, right, bottom) in pixels."""


@pytest.fixture(scope="module")
def real_url() -> Iterator[str]:
    """The embedded models, in this process."""
    from serve_app.local import build_local
    from serve_app.settings import Settings

    pipeline = build_local(Settings(threads=1))
    with serving(paddlehub_app(pipeline, Limits(16_000_000, 8, 16_000_000))) as base:
        yield base


def assert_published(faces: list[Body]) -> None:
    assert len(faces) == 3
    for (label, sides), face in zip(PUBLISHED, sorted(faces, key=lambda face: face["left"]), strict=True):
        assert face["label"] == label
        box = Box(*(face[side] for side in ("left", "top", "right", "bottom")))
        assert box.iou(Box(*sides)) >= 0.5
        assert face["confidence"] >= 0.9


@needs_shared
@pytest.mark.parametrize("name", CLIENTS)
def test_the_published_family(real_url: str, tmp_path: Path, name: str) -> None:
    assert_published(run_client(CLIENTS[name], real_url, SHARED / "photos/family_mask.jpg", tmp_path))


def test_the_packaged_photo_has_its_face_and_its_person(real_url: str, tmp_path: Path) -> None:
    path = tmp_path / "astronaut.jpg"
    path.write_bytes(jpeg(astronaut()))
    for name, script in CLIENTS.items():
        (face,) = run_client(script, real_url, path, tmp_path)
        assert face["label"] == "NO MASK", name
    found = run_client(CLIENT_2X_SOLOV2, real_url, path, tmp_path)
    assert found[0]["label"] == 0
    assert found[0]["area"] > 512 * 512 / 10


async def test_no_route_hides_a_native_one(client: httpx.AsyncClient, photo: bytes) -> None:
    answer = await client.post("/analyze", files={"image": photo})
    assert [face["label"] for face in answer.json()["images"][0]["faces"]] == ["MASK"]
    assert (await client.get("/models")).status_code == 200


def test_the_config_is_sound() -> None:
    from serve_app.checking.check import check_file

    assert check_file(Path(__file__).parents[4] / "configs" / "paddlehub.yaml") == []
