"""POST /analyze: every form of the request and of the answer."""

import asyncio
import base64
import gzip
import json
from collections.abc import Callable
from io import BytesIO
from typing import Any, Literal

import httpx
import numpy as np
import pytest
from PIL import Image

from deployments.imaging.draw import draw, encode_picture
from deployments.imaging.masks import encode_rle
from deployments.imaging.rle import decode_rle
from deployments.results import Box, Face
from serve_app.http.app import create_app
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.native import routes as native
from tests.photos import astronaut, jpeg, png
from tests.serve_app.conftest import HEIGHT, WIDTH, FakeBranch, client_of, person_mask

PNG = {"Content-Type": "image/png"}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def opened(uri: str) -> Image.Image:
    """The picture of a data URI."""
    return Image.open(BytesIO(base64.b64decode(uri.partition(",")[2])))


async def answer_of(client: httpx.AsyncClient, **request: Any) -> dict[str, Any]:
    answer = await client.post("/analyze", **request)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


async def test_the_whole_answer(client: httpx.AsyncClient, photo: bytes) -> None:
    answer = await client.post("/analyze", files={"image": ("a.png", photo)}, headers={"X-Request-ID": "me"})
    assert answer.headers["content-type"] == "application/json"
    content = answer.json()
    timing = content.pop("timing_ms")
    chair = np.zeros((HEIGHT, WIDTH), bool)
    chair[40:48, 50:64] = True
    assert content == {
        "images": [
            {
                "id": 1,
                "name": "a.png",
                "width": WIDTH,
                "height": HEIGHT,
                "faces": [
                    {
                        "label": "MASK",
                        "confidence": 0.9123,
                        "face_score": 0.9877,
                        "box": {"left": 18.12, "top": 6.0, "right": 30.0, "bottom": 18.0},
                        "person": 1,
                    }
                ],
                "instances": [
                    {
                        "label": "chair",
                        "label_id": 56,
                        "score": 0.95,
                        "box": {"left": 50, "top": 40, "right": 64, "bottom": 48},
                        "area": 112,
                        "mask": encode_rle(chair),
                    },
                    {
                        "label": "person",
                        "label_id": 0,
                        "score": 0.9,
                        "box": {"left": 10, "top": 4, "right": 40, "bottom": 44},
                        "area": int(person_mask().sum()),
                        "mask": encode_rle(person_mask()),
                    },
                ],
                "people": [{"instance": 1, "face": 0, "mask": "MASK"}],
                "errors": [],
            }
        ],
        "models": {"mask_detection": "face_mask@1", "instance_segmentation": "solov2_people@1"},
        "request_id": "me",
    }
    assert timing["mask_detection"] == timing["instance_segmentation"] == {"queue": 1.25, "run": 7.5}
    assert timing["total"] >= timing["decode"] > 0


REQUESTS: dict[str, Callable[[bytes], dict[str, Any]]] = {
    "multipart": lambda photo: {"files": {"image": photo}},
    "raw": lambda photo: {"content": photo, "headers": PNG},
    "raw of another image type": lambda photo: {"content": photo, "headers": {"Content-Type": "image/jpeg"}},
    "octets": lambda photo: {"content": photo, "headers": {"Content-Type": "application/octet-stream"}},
    "json": lambda photo: {"json": {"images": [b64(photo)]}},
    "json object": lambda photo: {"json": {"images": [{"b64": b64(photo)}]}},
    "json base64 in lines": lambda photo: {"json": {"images": [base64.encodebytes(photo).decode()]}},
    "json base64 for URLs": lambda photo: {"json": {"images": [base64.urlsafe_b64encode(photo).decode().rstrip("=")]}},
    "json data URI": lambda photo: {"json": {"images": [f"data:image/png;base64,{b64(photo)}"]}},
    "json with charset": lambda photo: {
        "content": json.dumps({"images": [b64(photo)], "options": {}}),
        "headers": {"Content-Type": "Application/JSON; charset=utf-8"},
    },
    "raw in gzip": lambda photo: {"content": gzip.compress(photo), "headers": {**PNG, "Content-Encoding": "gzip"}},
    "json in gzip": lambda photo: {
        "content": gzip.compress(json.dumps({"images": [b64(photo)]}).encode()),
        "headers": {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    },
}


@pytest.mark.parametrize("form", REQUESTS)
async def test_every_form_of_request_brings_the_picture(
    client: httpx.AsyncClient, photo: bytes, faces: FakeBranch, form: str
) -> None:
    (image,) = (await answer_of(client, **REQUESTS[form](photo)))["images"]
    assert (image["width"], image["height"], len(image["faces"])) == (WIDTH, HEIGHT, 1)
    np.testing.assert_array_equal(faces.images[0], astronaut()[:HEIGHT, :WIDTH])


async def test_multipart_in_gzip(client: httpx.AsyncClient, photo: bytes) -> None:
    built = client.build_request("POST", "/analyze", files={"image": photo})
    headers = {"Content-Type": built.headers["content-type"], "Content-Encoding": "gzip"}
    assert (await answer_of(client, content=gzip.compress(await built.aread()), headers=headers))["images"]


async def test_a_form_field_without_a_file_name(client: httpx.AsyncClient, photo: bytes) -> None:
    (image,) = (await answer_of(client, files={"image": (None, photo)}))["images"]
    assert (image["name"], image["width"]) == (None, WIDTH)


async def test_several_images_keep_order_and_names(client: httpx.AsyncClient) -> None:
    pictures = [png(np.full((5 + n, 9, 3), 40 * n, np.uint8)) for n in range(4)]
    files = [("image", (f"{n}.png", data)) for n, data in enumerate(pictures)]
    images = (await answer_of(client, files=files))["images"]
    assert [(image["id"], image["name"], image["height"]) for image in images] == [
        (n + 1, f"{n}.png", 5 + n) for n in range(4)
    ]
    mixed = [b64(pictures[2]), {"b64": b64(pictures[0]), "name": "größe.png"}]
    images = (await answer_of(client, json={"images": mixed}))["images"]
    assert [(image["name"], image["height"]) for image in images] == [(None, 7), ("größe.png", 5)]


async def test_polygons(client: httpx.AsyncClient, photo: bytes) -> None:
    images = (await answer_of(client, content=photo, headers=PNG, params={"masks": "polygon"}))["images"]
    (polygon,) = images[0]["instances"][1]["mask"]
    assert {tuple(point) for point in polygon["exterior"]} == {(10, 4), (40, 4), (40, 44), (10, 44)}
    assert {tuple(point) for point in polygon["holes"][0]} == {(20, 30), (26, 30), (26, 34), (20, 34)}


async def test_png_masks(client: httpx.AsyncClient, photo: bytes) -> None:
    images = (await answer_of(client, content=photo, headers=PNG, params={"masks": "png"}))["images"]
    uri = images[0]["instances"][1]["mask"]
    assert uri.startswith("data:image/png;base64,")
    np.testing.assert_array_equal(np.asarray(opened(uri)) == 255, person_mask())


async def test_no_masks(client: httpx.AsyncClient, photo: bytes) -> None:
    images = (await answer_of(client, content=photo, headers=PNG, params={"masks": "none"}))["images"]
    assert [instance.keys() & {"mask", "area"} for instance in images[0]["instances"]] == [{"area"}] * 2


async def test_rle_is_the_default_and_decodes(client: httpx.AsyncClient, photo: bytes) -> None:
    images = (await answer_of(client, content=photo, headers=PNG))["images"]
    np.testing.assert_array_equal(decode_rle(images[0]["instances"][1]["mask"]), person_mask())


async def test_annotated_pictures_in_the_answer(client: httpx.AsyncClient, photo: bytes) -> None:
    images = (await answer_of(client, json={"images": [b64(photo), "AAAA"], "options": {"annotate": True}}))["images"]
    assert images[0]["annotated"].startswith("data:image/jpeg;base64,")
    picture = opened(images[0]["annotated"])
    assert (picture.format, picture.size) == ("JPEG", (WIDTH, HEIGHT))
    assert images[1]["annotated"] is None
    assert "annotated" not in (await answer_of(client, content=photo, headers=PNG))["images"][0]


@pytest.mark.parametrize("kind", ["png", "jpeg"])
async def test_the_picture_itself(
    client: httpx.AsyncClient, photo: bytes, faces: FakeBranch, instances: FakeBranch, kind: Literal["png", "jpeg"]
) -> None:
    accept = {"Accept": f"image/{kind}", "X-Request-ID": "me"}
    answer = await client.post("/analyze", content=photo, headers={**PNG, **accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == f"image/{kind}"
    assert answer.headers["x-request-id"] == "me"
    picture = Image.open(BytesIO(answer.content))
    assert (picture.format, picture.size) == (kind.upper(), (WIDTH, HEIGHT))
    expected = draw(np.ascontiguousarray(astronaut()[:HEIGHT, :WIDTH]), faces.results, instances.results)  # type: ignore[arg-type]
    assert answer.content == encode_picture(expected, kind)


async def test_a_client_that_takes_anything_gets_json(client: httpx.AsyncClient, photo: bytes) -> None:
    for accept in ("*/*", "application/json, image/jpeg", "image/jpeg;q=0.5, application/json"):
        answer = await client.post("/analyze", content=photo, headers={**PNG, "Accept": accept})
        assert answer.headers["content-type"] == "application/json"


async def test_the_picture_of_half_an_answer_says_so(
    client: httpx.AsyncClient, photo: bytes, instances: FakeBranch
) -> None:
    instances.fail("unavailable")
    answer = await client.post("/analyze", content=photo, headers={**PNG, "Accept": "image/png"})
    assert answer.status_code == 200
    assert answer.headers["x-failed-tasks"] == "instance_segmentation"


async def test_a_picture_too_long_for_jpeg(pipeline: Pipeline, instances: FakeBranch) -> None:
    instances.results = []
    long = png(np.zeros((1, 65501, 3), np.uint8))
    async with client_of(create_app(pipeline, Limits(10**6, 8, 10**6), [native.routes], frozenset())) as client:
        answer = await client.post("/analyze", content=long, headers={**PNG, "Accept": "image/jpeg"})
        assert answer.status_code == 406
        assert "image/png" in answer.json()["error"]["message"]
        (image,) = (await answer_of(client, content=long, headers=PNG, params={"annotate": "true"}))["images"]
        assert opened(image["annotated"]).size == (65501, 1)


async def test_a_face_that_nobody_holds(client: httpx.AsyncClient, photo: bytes, faces: FakeBranch) -> None:
    faces.results = [Face(Box(50, 0, 60, 10), 0.9, "NO MASK", 0.8)]
    (image,) = (await answer_of(client, content=photo, headers=PNG))["images"]
    assert image["faces"][0]["person"] is None
    assert image["people"] == [{"instance": 1, "face": None, "mask": None}]


async def test_timing_is_the_slowest_images(client: httpx.AsyncClient, photo: bytes) -> None:
    timing = (await answer_of(client, json={"images": [b64(photo), b64(jpeg(astronaut())), "AAAA"]}))["timing_ms"]
    assert timing.keys() == {"decode", "mask_detection", "instance_segmentation", "total"}
    assert timing["mask_detection"] == {"queue": 1.25, "run": 7.5}


async def test_trace_context_goes_on_to_the_models(client: httpx.AsyncClient, photo: bytes, faces: FakeBranch) -> None:
    traceparent = f"00-{'a' * 32}-{'b' * 16}-01"
    for given in (traceparent, "nonsense"):
        await answer_of(client, content=photo, headers={**PNG, "traceparent": given})
    assert [call.traceparent for call in faces.calls] == [traceparent, None]


async def test_a_client_that_goes_away_cancels_its_calls(
    client: httpx.AsyncClient, photo: bytes, faces: FakeBranch
) -> None:
    faces.gate = asyncio.Event()
    request = asyncio.create_task(client.post("/analyze", content=photo, headers=PNG))
    await faces.entered.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert faces.cancelled == 1
    faces.gate = None
    assert (await answer_of(client, content=photo, headers=PNG))["images"][0]["faces"]
