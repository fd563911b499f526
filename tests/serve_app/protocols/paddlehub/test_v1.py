"""PaddleHub 1.x: uploads and forms."""

import ast
import base64
import json
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlencode

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from serve_app.protocols.paddlehub import v1
from tests.photos import jpeg
from tests.serve_app.conftest import HEIGHT, WIDTH, FakeBranch
from tests.serve_app.protocols.paddlehub.bodies import CUT, GOOD, MASK_1X, Body, b64

MODULES = {"pyramidbox_lite_server_mask", "solov2"}


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
