import base64
from pathlib import Path

import httpx
import numpy as np
import pytest

from deployments.imaging.masks import encode_rle
from deployments.imaging.rle import decode_rle
from deployments.results import Box, Face, Instance
from serve_app.protocols.paddlehub import routes as paddlehub
from tests.photos import png
from tests.serve_app.conftest import HEIGHT, WIDTH, FakeBranch
from tests.serve_app.protocols.paddlehub.bodies import CUT, GOOD, JSON, MASK, MASK_1X, SOLOV2, Body, b64


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


async def test_no_route_hides_a_native_one(client: httpx.AsyncClient, photo: bytes) -> None:
    answer = await client.post("/analyze", files={"image": photo})
    assert [face["label"] for face in answer.json()["images"][0]["faces"]] == ["MASK"]
    assert (await client.get("/models")).status_code == 200


def test_the_config_is_sound() -> None:
    from serve_app.checking.check import check_file

    assert check_file(Path(__file__).parents[4] / "configs" / "paddlehub.yaml") == []
