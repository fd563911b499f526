"""The client against the application itself, and against answers that only a test can give."""

import asyncio
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from serve_app.api_keys import ApiKeys, KeyEntry, digest
from serve_app.client import (
    AsyncClient,
    BadRequest,
    Client,
    ConnectionLost,
    DeadlineExceeded,
    MaskgraphError,
    Overloaded,
    ServiceFault,
    ServiceUnreachable,
    Unauthorized,
)
from serve_app.client.attempts import Attempts
from serve_app.http.app import create_app
from serve_app.pipeline import Pipeline
from serve_app.protocols.native import routes as native
from tests.photos import png
from tests.serve_app.client.conftest import EMPTY, refusal
from tests.serve_app.conftest import HEIGHT, LIMITS, WIDTH, FakeBranch, person_mask
from tests.serve_app.protocols.loopback import serving

PHOTO = b"a photo"


def client_of(answer: Callable[[httpx.Request], httpx.Response], **settings: Any) -> Client:
    return Client("http://test", transport=httpx.MockTransport(answer), **settings)


def one_after_another(*answers: httpx.Response | Exception) -> Callable[[httpx.Request], httpx.Response]:
    waiting = iter(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        request.read()
        given = next(waiting)
        if isinstance(given, Exception):
            raise given
        return given

    return answer


def test_one_photo(blocking: Client, photo: bytes, faces: FakeBranch) -> None:
    analysis = blocking.analyze(photo)
    assert (analysis.width, analysis.height, analysis.errors) == (WIDTH, HEIGHT, ())
    assert [face.label for face in analysis.faces] == ["MASK"]
    assert [instance.label for instance in analysis.instances] == ["chair", "person"]
    (person,) = analysis.people
    assert person.face is analysis.faces[0]
    assert person.instance is analysis.instances[1]
    assert person.mask == "MASK"
    np.testing.assert_array_equal(person.instance.mask, person_mask())
    assert analysis.models["mask_detection"] == "face_mask@1"
    assert len(faces.images) == 1


async def test_several_photos_keep_their_order(awaited: AsyncClient, photo: bytes, tmp_path: Path) -> None:
    (tmp_path / "größe ß.png").write_bytes(png(np.zeros((7, 5, 3), np.uint8)))
    photos = [photo, tmp_path / "größe ß.png", b"no photo"]
    first, second, third = await awaited.analyze_many(photos)
    assert (first.name, first.width) == (None, WIDTH)
    assert (second.name, second.width, second.height) == ("größe ß.png", 5, 7)
    assert [failure.code for failure in third.errors] == ["unsupported_format"]
    assert third.errors[0].task is None


async def test_the_photos_error_in_the_services_words(awaited: AsyncClient) -> None:
    with pytest.raises(BadRequest, match=r"^the data is not a JPEG") as caught:
        await awaited.analyze(b"no photo")
    assert (caught.value.status, caught.value.code, caught.value.image) == (415, "unsupported_format", 1)
    assert caught.value.request_id


async def test_a_task_that_failed_is_told_beside_the_other(
    awaited: AsyncClient, photo: bytes, instances: FakeBranch
) -> None:
    instances.fail("unavailable")
    analysis = await awaited.analyze(photo)
    assert len(analysis.faces) == 1
    assert [(failure.code, failure.task) for failure in analysis.errors] == [("unavailable", "instance_segmentation")]


async def test_options_arrive(awaited: AsyncClient, photo: bytes, faces: FakeBranch, instances: FakeBranch) -> None:
    analysis = await awaited.analyze(
        photo, face_threshold=0.5, score_threshold=0.25, classes=["person", "chair"], max_instances=1, timeout_s=9
    )
    assert faces.calls[0].options.face_threshold == 0.5  # type: ignore[union-attr]
    asked = instances.calls[0].options
    assert (asked.score_threshold, asked.classes, asked.max_instances) == (0.25, ("person", "chair"), 1)  # type: ignore[union-attr]
    assert analysis.instances[0].rle is not None
    analysis = await awaited.analyze(photo, tasks=["instance_segmentation"], masks=False, annotate=True)
    assert analysis.faces == ()
    assert analysis.instances[0].rle is None
    assert analysis.annotated is not None
    assert analysis.annotated.startswith(b"\xff\xd8")
    with pytest.raises(BadRequest, match="unknown class 'dragon'"):
        await awaited.analyze(photo, classes=["dragon"])


async def test_the_third_branch(pipeline_of_three: Pipeline, photo: bytes) -> None:
    app = create_app(pipeline_of_three, LIMITS, [native.routes], frozenset())
    async with AsyncClient("http://test", transport=httpx.ASGITransport(app)) as client:
        options = {"object_score_threshold": 0.5, "object_nms_iou": 0.5, "object_classes": ["cup"], "max_objects": 3}
        analysis = await client.analyze(photo, **options)  # type: ignore[arg-type]
        assert [found.label for found in analysis.objects] == ["bottle", "cup"]
        assert [card["task"] for card in await client.models()] == list(pipeline_of_three.branches)


def test_an_api_key(pipeline: Pipeline, photo: bytes) -> None:
    app = create_app(pipeline, LIMITS, [native.routes], ApiKeys.of("schlüssel"))
    with serving(app) as url:
        with Client(url, api_key="schlüssel") as client:
            assert client.analyze(photo).faces
        with Client(url) as client, pytest.raises(Unauthorized, match="a valid API key is needed") as caught:
            client.analyze(photo)
    assert caught.value.status == 401


def test_a_key_that_asks_for_too_much_is_told_when_to_come_back(pipeline: Pipeline, photo: bytes) -> None:
    keys = ApiKeys([KeyEntry(name="me", sha256=digest(b"key"), requests_per_s=0.01)])
    with serving(create_app(pipeline, LIMITS, [native.routes], keys)) as url, Client(url, api_key="key") as client:
        assert client.analyze(photo).faces
        with pytest.raises(Overloaded, match=r"the key of me may send 0\.01 requests a second") as caught:
            client.analyze(photo)
    assert (caught.value.status, caught.value.code) == (429, "too_many_requests")
    assert 90 <= (caught.value.retry_after_s or 0) <= 100


def test_connections_are_kept(app: FastAPI, photo: bytes) -> None:
    peers = set()

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        peers.add(scope["client"])
        await app(scope, receive, send)

    with serving(watched) as url, Client(url) as client:
        for _ in range(3):
            client.analyze(photo)
    assert len(peers) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequest),
        (404, BadRequest),
        (413, BadRequest),
        (401, Unauthorized),
        (403, Unauthorized),
        (429, Overloaded),
        (503, Overloaded),
        (500, ServiceFault),
        (502, ServiceFault),
        (504, DeadlineExceeded),
    ],
)
def test_a_refusal_becomes_its_exception(status: int, kind: type[MaskgraphError]) -> None:
    with client_of(lambda _: refusal(status), retries=0) as client, pytest.raises(kind) as caught:
        client.analyze(PHOTO)
    error = caught.value
    assert type(error) is kind
    assert (str(error), error.code) == (f"message of {status}", f"code_{status}")
    assert (error.status, error.image, error.request_id) == (status, 2, "me")


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(404, text="<h1>not here</h1>"),
        httpx.Response(400, json={"error": "told"}),
        httpx.Response(400, json=["error"]),
        httpx.Response(200, text="<h1>welcome</h1>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={}),
        httpx.Response(200, json={"images": [{"faces": None}]}),
        httpx.Response(200, json={**EMPTY, "images": [{**EMPTY["images"][0], "annotated": "data:image/png;base64,?"}]}),
        httpx.Response(307, headers={"Location": "https://elsewhere.example"}),
    ],
)
def test_what_is_not_maskgraph_is_said_to_be_none(response: httpx.Response) -> None:
    with client_of(lambda _: response) as client, pytest.raises(MaskgraphError) as caught:
        client.analyze(PHOTO)
    assert caught.value.code == "not_maskgraph"


def test_what_is_busy_or_away_is_asked_again(pauses: list[float]) -> None:
    answers = one_after_another(
        refusal(503, **{"Retry-After": "3"}),
        httpx.ConnectError("refused"),
        refusal(429, **{"Retry-After": "1"}),
        httpx.Response(503),
        httpx.Response(200, json=EMPTY),
    )
    with client_of(answers) as client:
        assert client.analyze(PHOTO).width == 3
    wanted = [3, 0.5, 1, 2]
    assert all(least <= pause <= 1.25 * least for least, pause in zip(wanted, pauses, strict=True)), pauses


async def test_the_asyncio_client_asks_again_too(pauses: list[float]) -> None:
    answers = one_after_another(refusal(503, **{"Retry-After": "3"}), httpx.Response(200, json=EMPTY))
    async with AsyncClient("http://test", transport=httpx.MockTransport(answers)) as client:
        assert (await client.analyze(PHOTO)).width == 3
    assert len(pauses) == 1
    assert 3 <= pauses[0] <= 3.75


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (httpx.ReadError("reset"), ConnectionLost),
        (httpx.RemoteProtocolError("gone"), ConnectionLost),
        (httpx.ReadTimeout("slow"), DeadlineExceeded),
        (refusal(500), ServiceFault),
        (refusal(504), DeadlineExceeded),
    ],
)
def test_what_may_have_been_done_is_not_asked_twice(
    failure: httpx.Response | Exception, kind: type[MaskgraphError], pauses: list[float]
) -> None:
    with client_of(one_after_another(failure)) as client, pytest.raises(kind):
        client.analyze(PHOTO)
    assert pauses == []


def test_retries_are_counted(pauses: list[float]) -> None:
    with client_of(lambda _: refusal(503), retries=2) as client, pytest.raises(Overloaded):
        client.analyze(PHOTO)
    assert len(pauses) == 2


def test_a_wait_beyond_the_deadline_is_not_waited(pauses: list[float]) -> None:
    answer = refusal(503, **{"Retry-After": "60"})
    with client_of(lambda _: answer, timeout_s=30) as client, pytest.raises(Overloaded) as caught:
        client.analyze(PHOTO)
    assert pauses == []
    assert caught.value.retry_after_s == 60


def test_the_service_is_told_how_long_it_has() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=EMPTY)

    with client_of(answer) as client:
        client.analyze(PHOTO, timeout_s=20)
    assert 19 < float(seen[0].url.params["timeout_s"]) <= 20
    assert seen[0].extensions["timeout"]["read"] <= 20
    assert seen[0].extensions["timeout"]["connect"] <= 10


async def test_questions_wait_for_their_turn_before_their_time_begins() -> None:
    ongoing = most = 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal ongoing, most
        ongoing += 1
        most = max(most, ongoing)
        await asyncio.sleep(0)
        ongoing -= 1
        assert float(request.url.params["timeout_s"]) > 0
        return httpx.Response(200, json=EMPTY)

    async with AsyncClient("http://test", concurrency=3, transport=httpx.MockTransport(answer)) as client:
        answers = await asyncio.gather(*(client.analyze(PHOTO) for _ in range(100)))
    assert (len(answers), most) == (100, 3)


async def test_the_deadline_ends_an_answer_that_does_not_come(
    awaited: AsyncClient, photo: bytes, faces: FakeBranch
) -> None:
    faces.gate = asyncio.Event()
    with pytest.raises(DeadlineExceeded, match=r"no answer within 0.05 s|deadline"):
        await awaited.analyze(photo, timeout_s=0.05)


def test_the_deadline_ends_an_answer_that_trickles(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = count(step=10)
    monkeypatch.setattr("serve_app.client.client.Attempts", partial(Attempts, clock=lambda: next(seconds)))
    trickle = httpx.Response(200, content=(b" " for _ in range(1000)))
    with client_of(lambda _: trickle, timeout_s=100) as client, pytest.raises(DeadlineExceeded, match="within 100 s"):
        client.analyze(PHOTO)


def test_a_service_that_is_not_there() -> None:
    with Client("http://127.0.0.1:9", retries=0) as client, pytest.raises(ServiceUnreachable) as caught:
        client.models()
    assert "cannot connect to http://127.0.0.1:9" in str(caught.value)


def test_a_url_below_a_prefix() -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.path)
        return httpx.Response(200, json={"models": []})

    for url in ("http://test/photos", "http://test/photos/"):
        Client(url, transport=httpx.MockTransport(answer)).models()
    assert seen == ["/photos/models"] * 2


def test_questions_that_cannot_be_asked() -> None:
    with pytest.raises(ValueError, match="begins with http"):
        Client("localhost:8000")
    with client_of(lambda _: refusal(500)) as client:
        with pytest.raises(ValueError, match="no photo"):
            client.analyze_many([])
        for photo in ("photo.jpg", PHOTO, np.zeros((4, 4, 3), np.uint8)):
            with pytest.raises(TypeError, match="several photos come as a list"):
                client.analyze_many(photo)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="unknown option 'threshold'; known options: tasks, "):
            client.analyze(PHOTO, threshold=0.5)  # type: ignore[call-arg]
        with pytest.raises(FileNotFoundError):
            client.analyze("missing.jpg")
