"""The real thing over HTTP: both models, Ray Serve, embedded weights."""

import asyncio
import base64
import struct
import zlib
from io import BytesIO

import httpx
import pytest
from PIL import Image

from tests.photos import SHARED, astronaut, grace_hopper, jpeg, masked_astronaut, needs_shared, png

pytestmark = pytest.mark.serve


def analyze(client: httpx.Client, photo: bytes, **options: object) -> dict:
    answer = client.post("/analyze", files={"image": ("photo.jpg", photo)}, params=options)
    assert answer.status_code == 200, answer.text
    return answer.json()


def without_timing(answer: dict) -> dict:
    images = [{key: value for key, value in image.items() if key != "timing_ms"} for image in answer["images"]]
    return {"images": images, "models": answer["models"]}


def test_alive_and_ready(client: httpx.Client) -> None:
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 200


def test_models_are_the_embedded_ones(client: httpx.Client) -> None:
    assert "face_mask" in client.get("/models").text
    assert "solov2_people" in client.get("/models").text


def test_the_documentation_is_served(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert "POST /analyze" in page.text


def test_who_wears_what(client: httpx.Client) -> None:
    for photo, label in ((astronaut(), "NO MASK"), (masked_astronaut(), "MASK")):
        (image,) = analyze(client, jpeg(photo))["images"]
        assert image["errors"] == []
        assert [face["label"] for face in image["faces"]] == [label]
        people = [person for person in image["people"] if person["face"] is not None]
        assert [(person["face"], person["mask"]) for person in people] == [(0, label)]
        person = image["instances"][people[0]["instance"]]
        assert person["label"] == "person"
        assert person["mask"]["size"] == [512, 512]
        assert image["faces"][0]["person"] == people[0]["instance"]


@needs_shared
def test_the_published_family(client: httpx.Client) -> None:
    (image,) = analyze(client, (SHARED / "photos/family_mask.jpg").read_bytes())["images"]
    assert sorted(face["label"] for face in image["faces"]) == ["MASK", "MASK", "NO MASK"]
    assert any(person["face"] is not None for person in image["people"])


@needs_shared
def test_the_family_are_three_people(client: httpx.Client) -> None:
    (image,) = analyze(client, (SHARED / "photos/family_mask.jpg").read_bytes())["images"]
    assert len([i for i in image["instances"] if i["label"] == "person"]) == 3
    assert sorted(person["face"] for person in image["people"]) == [0, 1, 2]


def test_large_pictures_go_through_the_object_store(client: httpx.Client) -> None:
    large = Image.fromarray(astronaut()).resize((1800, 1800))
    file = BytesIO()
    large.save(file, "JPEG")
    (image,) = analyze(client, file.getvalue())["images"]
    assert image["errors"] == []
    assert [face["label"] for face in image["faces"]] == ["NO MASK"]


def test_an_annotated_picture_comes_back(client: httpx.Client) -> None:
    photo = jpeg(astronaut())
    answer = client.post("/analyze", content=photo, headers={"Content-Type": "image/jpeg", "Accept": "image/jpeg"})
    assert answer.status_code == 200
    picture = Image.open(BytesIO(answer.content))
    assert (picture.format, picture.size) == ("JPEG", (512, 512))


async def test_clients_at_once_get_the_single_clients_answers(service: str) -> None:
    photos = [jpeg(astronaut()), jpeg(masked_astronaut()), jpeg(grace_hopper())]
    async with httpx.AsyncClient(base_url=service, timeout=120) as client:

        async def ask(photo: bytes) -> dict:
            answer = await client.post("/analyze", content=photo, headers={"Content-Type": "image/jpeg"})
            assert answer.status_code == 200, answer.text
            return without_timing(answer.json())

        alone = [await ask(photo) for photo in photos]
        together = await asyncio.gather(*(ask(photos[n % 3]) for n in range(24)))
    for n, answer in enumerate(together):
        assert_same(answer, alone[n % 3])


def assert_same(one: object, other: object) -> None:
    """Equal but for the last digits of floats, which a batch may change."""
    if isinstance(one, dict) and isinstance(other, dict):
        assert one.keys() == other.keys()
        for key in one:
            if key == "counts":
                continue  # a pixel on the threshold may flip; area, compared below, bounds by how much
            assert_same(one[key], other[key])
    elif isinstance(one, list) and isinstance(other, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, float | int) and not isinstance(one, bool):
        assert one == pytest.approx(other, rel=1e-3, abs=0.05)
    else:
        assert one == other


def test_served_is_what_predict_says(client: httpx.Client) -> None:
    from serve_app.analysis import AnalyzeRequest, EncodedImage
    from serve_app.local import build_local
    from serve_app.settings import Settings

    photo = jpeg(masked_astronaut())
    (served,) = analyze(client, photo)["images"]
    pipeline = build_local(Settings())
    (local,) = asyncio.run(pipeline.analyze(AnalyzeRequest([EncodedImage(photo)], "test"))).images
    assert [face["label"] for face in served["faces"]] == [face.label for face in local.faces]
    for a, b in zip(served["faces"], local.faces, strict=True):
        assert a["confidence"] == pytest.approx(b.confidence, abs=1e-4)
        assert a["box"]["left"] == pytest.approx(b.box.left, abs=0.05)
    assert [i["mask"] for i in served["instances"]] == [i.mask for i in local.instances]
    assert [i["label"] for i in served["instances"]] == [i.label for i in local.instances]


def huge_png() -> bytes:
    """The header of a 20000x20000 PNG over a few bytes of data."""
    header = struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 4000)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


PHOTO = jpeg(astronaut())
JPEG = {"Content-Type": "image/jpeg"}
BAD = {
    "empty body": ({"content": b"", "headers": JPEG}, 400, "empty"),
    "text as image": ({"content": b"hello, world", "headers": JPEG}, 415, "not a JPEG"),
    "truncated JPEG": ({"content": PHOTO[: len(PHOTO) // 2], "headers": JPEG}, 400, "truncated"),
    "20000x20000 PNG": ({"content": huge_png(), "headers": {"Content-Type": "image/png"}}, 413, "20000"),
    "100 MB body": ({"content": b"\0" * 100_000_000, "headers": JPEG}, 413, "16000000"),
    "500 images": ({"json": {"images": [base64.b64encode(png(astronaut()[:1, :1])).decode()] * 500}}, 413, "64"),
    "broken base64": ({"json": {"images": ["%%%"]}}, 400, "base64"),
    "unknown option": ({"content": PHOTO, "headers": JPEG, "params": {"thresold": "0.5"}}, 400, "thresold"),
    "threshold 7": (
        {"content": PHOTO, "headers": JPEG, "params": {"mask_detection.face_threshold": "7"}},
        400,
        "face_threshold",
    ),
    "wrong content type": ({"content": PHOTO, "headers": {"Content-Type": "text/plain"}}, 415, "text/plain"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named_and_harms_nobody(client: httpx.Client, name: str) -> None:
    request, status, named = BAD[name]
    try:
        answer = client.post("/analyze", **request)  # type: ignore[arg-type]
    except httpx.WriteError:
        assert status == 413  # the connection may be closed on a body that nobody reads
    else:
        assert answer.status_code == status, answer.text
        assert named in answer.json()["error"]["message"]
    assert [face["label"] for face in analyze(client, PHOTO)["images"][0]["faces"]] == ["NO MASK"]


def test_one_pixel_is_a_picture(client: httpx.Client) -> None:
    (image,) = analyze(client, png(astronaut()[:1, :1]))["images"]
    assert (image["width"], image["height"], image["errors"], image["faces"]) == (1, 1, [], [])


def test_broken_pictures_do_not_harm_their_neighbours(client: httpx.Client) -> None:
    files = [("image", (f"{n}.jpg", PHOTO if n not in (1, 4, 6) else PHOTO[: 100 * n])) for n in range(8)]
    answer = client.post("/analyze", files=files)
    assert answer.status_code == 200
    images = answer.json()["images"]
    assert [bool(image["errors"]) for image in images] == [n in (1, 4, 6) for n in range(8)]
    assert all(image["faces"] for n, image in enumerate(images) if n not in (1, 4, 6))
