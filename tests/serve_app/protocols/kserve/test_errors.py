"""What KServe's routes refuse, and how."""

import base64
import gzip
from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.serve_app.protocols.kserve.bodies import FACES, INSTANCES

PIXEL = [[[1, 2, 3]]]
BODIES: dict[str, tuple[Any, int, str]] = {
    "an array": ([], 400, "Unrecognized request format"),
    "a string": ("instances", 400, "Unrecognized request format"),
    "neither key": ({}, 400, "exactly one"),
    "both keys": ({"instances": [PIXEL], "inputs": [PIXEL]}, 400, "exactly one"),
    "instances null": ({"instances": None}, 400, "instances"),
    "instances an object": ({"instances": {"b64": "AA=="}}, 400, "instances must be a list"),
    "no instances": ({"instances": []}, 400, "one image or more"),
    "inputs a number": ({"inputs": 3}, 400, "inputs must be a list"),
    "inputs a file": ({"inputs": {"b64": "AA=="}}, 400, "Missing named input: images"),
    "images no list": ({"inputs": {"images": {"b64": "AA=="}}}, 400, "inputs must be a list"),
    "no images": ({"inputs": {"images": []}}, 400, "one image or more"),
    "unknown input": ({"inputs": {"images": [PIXEL], "scale": 2}}, 400, "scale"),
    "too many": ({"instances": [PIXEL] * 9}, 413, "limit of 8 images"),
    "an instance null": ({"instances": [PIXEL, None]}, 400, "image 2"),
    "an instance a number": ({"instances": [3]}, 400, "image 1"),
    "an instance a string": ({"instances": ["AAAA"]}, 400, "b64"),
    "an empty object": ({"instances": [{}]}, 400, "image, images, image_bytes"),
    "unknown key": ({"instances": [{"photo": {"b64": "AA=="}}]}, 400, "photo"),
    "two keys": ({"instances": [{"image": PIXEL, "face_threshold": 0.1}]}, 400, "parameters"),
    "b64 beside another": ({"instances": [{"b64": "AA==", "type": "jpeg"}]}, 400, "image 1"),
    "b64 a number": ({"instances": [{"b64": 7}]}, 400, "base64"),
    "b64 broken": ({"instances": [{"image": {"b64": "a$b"}}]}, 400, "base64 is broken"),
    "b64 not ASCII": ({"instances": [{"b64": "é"}]}, 400, "base64 is broken"),
    "b64 empty": ({"instances": [{"b64": ""}]}, 400, "empty"),
    "no picture": ({"instances": [{"b64": "aGVsbG8="}]}, 400, "image 1: "),
    "pixels empty": ({"instances": [[]]}, 400, "[H][W][3]"),
    "pixels of rank 2": ({"instances": [[[1, 2, 3]]]}, 400, "[H][W][3]"),
    "rows empty": ({"instances": [[[], []]]}, 400, "[H][W][3]"),
    "ragged rows": ({"instances": [[[[1, 2, 3]], [[1, 2, 3], [1, 2, 3]]]]}, 400, "one length"),
    "four channels": ({"instances": [[[[1, 2, 3, 4]]]]}, 400, "three numbers"),
    "pixels of strings": ({"instances": [[[["1", "2", "3"]]]]}, 400, "numbers"),
    "pixels of bools": ({"instances": [[[[True, False, True]]]]}, 400, "numbers"),
    "pixels below 0": ({"instances": [[[[-1, 2, 3]]]]}, 400, "from 0 to 255"),
    "pixels above 255": ({"instances": [[[[1, 2, 256]]]]}, 400, "from 0 to 255"),
    "pixels from 0 to 1": ({"instances": [[[[0.5, 0.25, 1]]]]}, 400, "0 to 1"),
    "a signature number": ({"instances": [PIXEL], "signature_name": 100}, 400, "'signature_name' key must be a string"),
    "parameters a list": ({"instances": [PIXEL], "parameters": []}, 400, "parameters must be an object"),
    "unknown option": ({"instances": [PIXEL], "parameters": {"treshold": 1}}, 400, "treshold"),
    "another model's option": ({"instances": [PIXEL], "parameters": {"max_instances": 1}}, 400, "max_instances"),
    "threshold over 1": ({"instances": [PIXEL], "parameters": {"face_threshold": 7}}, 400, "from 0 to 1"),
    "threshold below 0": ({"instances": [PIXEL], "parameters": {"face_threshold": -0.1}}, 400, "from 0 to 1"),
    "threshold a string": ({"instances": [PIXEL], "parameters": {"face_threshold": "0.5"}}, 400, "from 0 to 1"),
    "threshold a bool": ({"instances": [PIXEL], "parameters": {"face_threshold": True}}, 400, "from 0 to 1"),
    "filter a string": ({"instances": [PIXEL], "parameters": {"output_filter": "boxes"}}, 400, "output_filter"),
    "filter empty": ({"instances": [PIXEL], "parameters": {"output_filter": []}}, 400, "output_filter"),
    "unknown output": ({"instances": [PIXEL], "parameters": {"output_filter": ["boxes"]}}, 400, "boxes"),
    "output of a list": ({"instances": [PIXEL], "parameters": {"output_filter": [["x"]]}}, 400, "output_filter"),
    "masks of faces": (
        {"instances": [PIXEL], "parameters": {"output_filter": ["detection_masks"]}},
        400,
        "detection_masks",
    ),
}


async def assert_refused(client: httpx.AsyncClient, answer: httpx.Response, status: int, named: str) -> None:
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert named in answer.json()["error"]
    assert (await client.post(f"{FACES}:predict", json={"instances": [PIXEL]})).status_code == 200


@pytest.mark.parametrize("case", BODIES)
async def test_malformed_bodies(client: httpx.AsyncClient, case: str) -> None:
    body, status, named = BODIES[case]
    await assert_refused(client, await client.post(f"{FACES}:predict", json=body), status, named)


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"classes": "person"}, "classes"),
        ({"classes": []}, "classes"),
        ({"classes": [3]}, "'3'"),
        ({"classes": ["unicorn"]}, "unicorn"),
        ({"max_instances": 0}, "max_instances"),
        ({"max_instances": 1.5}, "max_instances"),
        ({"max_instances": True}, "max_instances"),
        ({"max_instances": 10**9}, "max_instances"),
    ],
)
async def test_malformed_options_of_instances(client: httpx.AsyncClient, parameters: Any, named: str) -> None:
    answer = await client.post(f"{INSTANCES}:predict", json={"instances": [PIXEL], "parameters": parameters})
    await assert_refused(client, answer, 400, named)


@pytest.mark.parametrize(
    ("content", "headers", "status", "named"),
    [
        (b"", {}, 400, "Unrecognized request format"),
        (b"{", {}, 400, "Unrecognized request format"),
        (b"\xff\xd8\xff", {}, 400, "Unrecognized request format"),
        (b'{"instances": [NaN]}', {}, 400, "Unrecognized request format"),
        (b'{"instances": [[[[1, 2, 3]]]], "parameters": {"face_threshold": NaN}}', {}, 400, "Unrecognized request"),
        (b'{"instances": [[[[1, 2, 3]]]], "parameters": {"face_threshold": 1e999}}', {}, 400, ""),
        (b'{"instances": ' + b"[" * 5000 + b"]" * 5000 + b"}", {}, 400, "Unrecognized request format"),
        (b"x" * 1_000_001, {}, 413, "limit of 1000000 bytes"),
        (b"{}", {"Content-Length": "1e3"}, 400, "Content-Length"),
        (b"{}", {"Content-Encoding": "br"}, 415, "br"),
        (b"{}", {"Content-Encoding": "gzip"}, 400, "gzip"),
        (gzip.compress(b" " * 2_000_000), {"Content-Encoding": "gzip"}, 413, "limit of 1000000 bytes"),
    ],
)
async def test_malformed_bytes(
    client: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int, named: str
) -> None:
    answer = await client.post(f"{FACES}:predict", content=content, headers=headers)
    await assert_refused(client, answer, status, named)


async def test_many_values_are_refused_before_they_are_parsed(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.protocols.kserve.request.PIXELS_MEMORY", 32_000)
    answer = await client.post(f"{FACES}:predict", json={"instances": [[[]] * 1000]})
    await assert_refused(client, answer, 400, "too many values")


async def test_pictures_over_the_pixel_limit(client: httpx.AsyncClient) -> None:
    file = BytesIO()
    Image.new("1", (2000, 2000)).save(file, "PNG")
    body = {"instances": [PIXEL, {"b64": base64.b64encode(file.getvalue()).decode()}]}
    answer = await client.post(f"{FACES}:predict", json=body)
    await assert_refused(client, answer, 413, "image 2: the picture is 2000x2000")


@pytest.mark.parametrize(
    ("method", "path", "status", "named"),
    [
        ("GET", "/v1/models/unicorn", 404, "Model with name unicorn does not exist."),
        ("POST", "/v1/models/unicorn:predict", 404, "Model with name unicorn does not exist."),
        ("GET", "/v1/models/unicorn/metadata", 404, "unicorn"),
        ("GET", f"{FACES}/versions/7", 404, "version 7 of model mask_detection"),
        ("POST", f"{FACES}/versions/7:predict", 404, "version 7"),
        ("GET", f"{FACES}/versions/{'9' * 400}", 404, "Malformed request"),
        ("GET", f"{FACES}/versions/one", 404, "Malformed request"),
        ("GET", f"{FACES}/versions/", 404, "Malformed request"),
        ("GET", f"{FACES}/labels/canary/metadata", 400, "Unrecognized servable version label: canary"),
        ("POST", f"{FACES}/labels/canary:predict", 400, "canary"),
        ("POST", f"{FACES}:classify", 404, "Malformed request"),
        ("POST", f"{FACES}:explain", 404, "Malformed request"),
        ("POST", f"{FACES}/infer", 404, "Malformed request"),
        ("GET", f"{FACES}/", 404, "Malformed request"),
        ("GET", "/v1/models//metadata", 404, "Malformed request"),
        ("GET", f"{FACES}:predict", 405, "use POST"),
        ("POST", FACES, 405, "use GET"),
        ("POST", "/v1/models", 405, "use GET"),
        ("DELETE", f"{FACES}/metadata", 405, "use GET"),
    ],
)
async def test_malformed_paths(client: httpx.AsyncClient, method: str, path: str, status: int, named: str) -> None:
    answer = await client.request(method, path)
    assert (answer.headers.get("Allow") is not None) == (status == 405)
    await assert_refused(client, answer, status, named)
