"""POST /analyze: bad input, each kind with its status and a message that names it; neighbours are not harmed."""

import json
import struct
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import numpy as np
import pytest

from serve_app.http.app import create_app
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.native import routes as native
from tests.photos import astronaut, jpeg, png
from tests.serve_app.conftest import LIMITS, FakeBranch, client_of
from tests.serve_app.protocols.native.test_routes import PNG, answer_of, b64

JPEG = {"Content-Type": "image/jpeg"}
PHOTO = jpeg(astronaut()[:48, :64])


def huge_png(side: int = 20_000) -> bytes:
    """The header of a large PNG over hardly any data."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(4000))),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def json_body(content: object) -> dict[str, Any]:
    return {"content": json.dumps(content), "headers": {"Content-Type": "application/json"}}


BAD: dict[str, tuple[dict[str, Any], int, str, str]] = {
    "no body at all": ({}, 400, "no_image", "empty"),
    "empty raw body": ({"content": b"", "headers": JPEG}, 400, "no_image", "empty"),
    "empty JSON body": ({"content": b"", "headers": {"Content-Type": "application/json"}}, 400, "no_image", "empty"),
    "empty form": (
        {"content": b"", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
        400,
        "no_image",
        "empty",
    ),
    "empty file": ({"files": {"image": b""}}, 400, "unreadable_image", "empty"),
    "text as image": ({"content": b"hello, world", "headers": JPEG}, 415, "unsupported_format", "not a JPEG"),
    "truncated JPEG": ({"content": PHOTO[: len(PHOTO) // 2], "headers": JPEG}, 400, "unreadable_image", "truncated"),
    "20000x20000 PNG": ({"content": huge_png(), "headers": PNG}, 413, "image_too_large", "20000x20000"),
    "body over the limit": (
        {"content": bytes(LIMITS.max_body_bytes + 1), "headers": JPEG},
        413,
        "body_too_large",
        "1000000 bytes",
    ),
    "500 images in JSON": ({"json": {"images": ["AAAA"] * 500}}, 413, "too_many_images", "8 images"),
    "500 images in a form": ({"files": [("image", PHOTO)] * 500}, 413, "too_many_images", "8 images"),
    "broken base64": ({"json": {"images": ["%%%"]}}, 400, "unreadable_image", "base64"),
    "base64 cut": ({"json": {"images": [b64(PHOTO)[:401]]}}, 400, "unreadable_image", "last characters are missing"),
    "base64 beyond ASCII": ({"json": {"images": ["ÄÖÜ="]}}, 400, "unreadable_image", "base64"),
    "a URL as image": ({"json": {"images": ["http://localhost/a.jpg"]}}, 400, "unreadable_image", "URL"),
    "a path where a file belongs": (
        {
            "content": b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\nphoto.jpg\r\n--b--\r\n',
            "headers": {"Content-Type": "multipart/form-data; boundary=b"},
        },
        415,
        "unsupported_format",
        "'photo.jpg' is no file",
    ),
    "unknown option": (
        {"content": PHOTO, "headers": JPEG, "params": {"thresold": 1}},
        400,
        "unknown_option",
        "thresold",
    ),
    "threshold 7": (
        {"content": PHOTO, "headers": JPEG, "params": {"mask_detection.face_threshold": 7}},
        400,
        "bad_option",
        "mask_detection.face_threshold",
    ),
    "wrong content type": (
        {"content": PHOTO, "headers": {"Content-Type": "text/plain"}},
        415,
        "unsupported_media_type",
        "text/plain",
    ),
    "curl's content type": ({"data": {"image": "x"}}, 415, "unsupported_media_type", "x-www-form-urlencoded"),
    "no content type": ({"content": PHOTO}, 415, "unsupported_media_type", "no Content-Type"),
    "unknown encoding": (
        {"content": PHOTO, "headers": {**JPEG, "Content-Encoding": "zstd"}},
        415,
        "unsupported_encoding",
        "zstd",
    ),
    "not gzip": ({"content": PHOTO, "headers": {**JPEG, "Content-Encoding": "gzip"}}, 400, "bad_request", "gzip"),
    "not JSON": ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "bad_json", "JSON"),
    "deep JSON": (
        {"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}},
        400,
        "bad_json",
        "JSON",
    ),
    "JSON list": (json_body([]), 400, "bad_json", "object"),
    "no images field": (json_body({}), 400, "bad_request", "images"),
    "empty images": (json_body({"images": []}), 400, "no_image", "images"),
    "images no list": (json_body({"images": b64(PHOTO)}), 400, "bad_request", "images"),
    "image a number": (json_body({"images": [b64(PHOTO), 7]}), 400, "bad_request", "image 2"),
    "image null": (json_body({"images": [None]}), 400, "bad_request", "image 1"),
    "image without b64": (json_body({"images": [{}]}), 400, "bad_request", "'b64'"),
    "image by URL": (json_body({"images": [{"url": "http://localhost"}]}), 400, "bad_request", "image 1"),
    "image by path": (json_body({"images": [{"b64": "AAAA", "path": "/etc"}]}), 400, "bad_request", "'path'"),
    "long name": (json_body({"images": [{"b64": "AAAA", "name": "x" * 256}]}), 400, "bad_request", "image 1"),
    "long file name": ({"files": {"image": ("x" * 256, PHOTO)}}, 400, "bad_request", "image 1"),
    "options beside": (json_body({"images": ["AAAA"], "masks": "png"}), 400, "unknown_field", "options"),
    "options no object": (json_body({"images": ["AAAA"], "options": [1]}), 400, "bad_request", "options"),
    "file in another field": ({"files": {"file": PHOTO}}, 400, "unknown_field", "'file'"),
    "form without a file": (
        {"files": {"masks": (None, "rle")}},
        400,
        "no_image",
        "'image'",
    ),
    "form without a boundary": (
        {"content": PHOTO, "headers": {"Content-Type": "multipart/form-data"}},
        400,
        "bad_request",
        "boundary",
    ),
    "two pictures wanted": (
        {"files": [("image", PHOTO)] * 2, "headers": {"Accept": "image/jpeg"}},
        400,
        "bad_request",
        "one image",
    ),
    "an answer in HTML": (
        {"content": PHOTO, "headers": {**JPEG, "Accept": "text/html"}},
        406,
        "not_acceptable",
        "application/json",
    ),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_input_is_named_and_harms_nobody(client: httpx.AsyncClient, name: str) -> None:
    request, status, code, named = BAD[name]
    answer = await client.post("/analyze", **request)
    error = answer.json()["error"]
    assert answer.json().keys() == {"error"}
    assert (answer.status_code, error["code"]) == (status, code), error
    assert named in error["message"]
    assert (await answer_of(client, content=PHOTO, headers=JPEG))["images"][0]["errors"] == []


@pytest.mark.parametrize(
    ("request_of_one", "image"),
    [
        ({"content": PHOTO[:200], "headers": JPEG}, 1),
        ({"json": {"images": ["%%%"]}}, 1),
        (json_body({"images": [b64(PHOTO), b64(PHOTO), 7]}), 3),
    ],
)
async def test_the_error_has_the_number_of_the_image(
    client: httpx.AsyncClient, request_of_one: dict[str, Any], image: int
) -> None:
    assert (await client.post("/analyze", **request_of_one)).json()["error"]["image"] == image


async def test_one_pixel_is_a_picture(client: httpx.AsyncClient, faces: FakeBranch, instances: FakeBranch) -> None:
    faces.results, instances.results = [], []
    (image,) = (await answer_of(client, content=png(np.zeros((1, 1, 3), np.uint8)), headers=PNG))["images"]
    assert (image["width"], image["height"], image["errors"], image["faces"]) == (1, 1, [], [])


async def test_a_huge_picture_costs_no_memory(client: httpx.AsyncClient) -> None:
    tracemalloc.start()
    try:
        assert (await client.post("/analyze", content=huge_png(), headers=PNG)).status_code == 413
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


class Chunks:
    """A body of 100 MB that counts what is taken from it."""

    taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(1000):
            self.taken += 1
            yield bytes(100_000)


@pytest.mark.parametrize(
    ("headers", "most"),
    [
        (JPEG, 11),
        ({**JPEG, "Content-Length": "100000000"}, 0),
        ({"Content-Type": "application/json"}, 11),
        ({"Content-Type": "application/json", "Content-Length": "100000000"}, 0),
        ({"Content-Type": "multipart/form-data; boundary=b", "Content-Length": "100000000"}, 0),
        ({"Content-Type": "text/plain"}, 1),
        ({"Content-Type": "text/plain", "Content-Length": "100000000"}, 0),
        ({**JPEG, "Accept": "text/html"}, 0),
    ],
)
async def test_a_large_body_is_refused_before_it_is_read(
    client: httpx.AsyncClient, headers: dict[str, str], most: int
) -> None:
    body = Chunks()
    answer = await client.post("/analyze", content=body, headers=headers)
    assert answer.status_code in (406, 413, 415)
    assert body.taken <= most


async def test_a_form_is_read_no_further_than_its_last_image_allowed(client: httpx.AsyncClient) -> None:
    taken = 0

    async def parts() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(500):
            taken += 1
            yield b'--b\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n' + PHOTO + b"\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = await client.post("/analyze", content=parts(), headers=headers)
    assert answer.json()["error"]["code"] == "too_many_images"
    assert taken == LIMITS.max_images + 1


async def test_broken_pictures_do_not_harm_their_neighbours(client: httpx.AsyncClient) -> None:
    broken = {1: PHOTO[:100], 4: b"text", 6: huge_png()}
    files = [("image", (f"{n}.jpg", broken.get(n, PHOTO))) for n in range(8)]
    images = (await answer_of(client, files=files))["images"]
    codes = {n: image["errors"][0]["code"] for n, image in enumerate(images) if image["errors"]}
    assert codes == {1: "unreadable_image", 4: "unsupported_format", 6: "image_too_large"}
    assert [image["id"] for image in images] == list(range(1, 9))
    assert all(len(image["faces"]) == 1 for n, image in enumerate(images) if n not in broken)
    assert all((image["width"], image["faces"]) == (0, []) for n, image in enumerate(images) if n in broken)


async def test_broken_base64_does_not_harm_its_neighbours(client: httpx.AsyncClient) -> None:
    content = {"images": [{"b64": "%%%", "name": "a"}, b64(PHOTO), "http://localhost"]}
    images = (await answer_of(client, json=content))["images"]
    assert [bool(image["errors"]) for image in images] == [True, False, True]
    assert [image["name"] for image in images] == ["a", None, None]
    assert "base64" in images[0]["errors"][0]["message"]


async def test_all_unreadable_is_an_error(client: httpx.AsyncClient) -> None:
    answer = await client.post("/analyze", json={"images": ["AAAA", "%%%"]})
    error = answer.json()["error"]
    assert (answer.status_code, error["image"]) == (400, 1)
    assert "none of the 2 images" in error["message"]


async def test_limits_are_the_settings(make_pipeline: Callable[..., Pipeline], photo: bytes) -> None:
    app = create_app(make_pipeline(max_pixels=100), Limits(10**5, 1, 100), [native.routes], frozenset())
    async with client_of(app) as client:
        assert (await client.post("/analyze", content=photo, headers=PNG)).status_code == 413
        assert (await client.post("/analyze", files=[("image", photo)] * 2)).status_code == 413
