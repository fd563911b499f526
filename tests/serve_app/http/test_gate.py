"""The gate before Serve's queues, over the real application and over inner applications that the tests write."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace

import httpx
import pytest
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.http.app import create_app
from serve_app.http.errors import BUSY
from serve_app.http.gate import ARRIVED, LIMITS, Gate, announced
from serve_app.pipeline import Pipeline
from serve_app.protocols.kserve import routes as kserve
from serve_app.protocols.native import routes as native
from serve_app.protocols.open_inference import routes as open_inference
from serve_app.protocols.paddlehub import routes as paddlehub
from serve_app.protocols.roboflow import routes as roboflow
from serve_app.refusals import write_refusal
from tests.serve_app.conftest import LIMITS as APP_LIMITS
from tests.serve_app.http.inner import PATHS, SMALL, Inner, client_of


@pytest.fixture
def inner() -> Inner:
    return Inner()


@pytest.fixture
def gate(inner: Inner) -> Gate:
    return Gate(inner, write_refusal)


@pytest.fixture
async def client(gate: Gate) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(gate) as made:
        yield made


class Upload:
    """One request whose body a test sends piece by piece; ``answer`` is its status, headers and body."""

    def __init__(self, app: ASGIApp, path: str = "/analyze", headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self.messages = asyncio.Queue[Message]()
        self.sent: list[Message] = []
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": [(b"transfer-encoding", b"chunked"), *headers],
        }

        async def send(message: Message) -> None:
            self.sent.append(message)

        self.task = asyncio.create_task(app(scope, self.messages.get, send))  # type: ignore[arg-type]

    async def put(self, body: bytes, more: bool = True) -> None:
        self.messages.put_nowait({"type": "http.request", "body": body, "more_body": more})
        for _ in range(5):
            await asyncio.sleep(0)

    async def answer(self) -> tuple[int, dict[bytes, bytes], bytes]:
        await self.task
        start, *rest = self.sent
        return start["status"], dict(start["headers"]), b"".join(message.get("body", b"") for message in rest)


async def test_a_body_reaches_the_ingress_once_it_is_whole(inner: Inner, gate: Gate) -> None:
    upload = Upload(gate)
    await upload.put(b"ab")
    await upload.put(b"")
    assert inner.scopes == []
    await upload.put(b"cd", more=False)
    status, _, body = await upload.answer()
    assert (status, body, inner.bodies) == (200, b"answer", [b"abcd"])
    assert gate._uploads.held == 0


async def test_what_only_service_and_gate_tell_each_other_stays_inside(inner: Inner, client: httpx.AsyncClient) -> None:
    inner.headers[BUSY] = "0.1"
    answer = await client.get("/readyz", headers={ARRIVED.decode(): "12", "x-request-id": "mine"})
    assert [name for name in answer.headers if name.startswith("x-")] == ["x-request-id"]
    assert answer.headers.get_list("x-request-id") == ["mine"]
    ((_, arrived),) = [pair for pair in inner.scopes[0]["headers"] if pair[0] == ARRIVED]
    assert time.time() - 10 < float(arrived) <= time.time()


@pytest.mark.parametrize(
    "header",
    [
        (b"x-request-timeout-seconds", b"1000000"),
        (b"x-request-disconnect-disabled", b"?1"),
        (b"serve_multiplexed_model_id", b"x"),
        (b"serve-multiplexed-model-id", b"x"),
        (b"x-session-id", b"x"),
        (b"traceparent", b"\xe9"),
    ],
)
async def test_headers_that_change_serve_do_not_reach_it(
    inner: Inner, client: httpx.AsyncClient, header: tuple[bytes, bytes]
) -> None:
    await client.get("/readyz", headers=[header, (b"accept", b"text/plain"), (b"traceparent", b"00-ab")])
    names = [name for name, _ in inner.scopes[0]["headers"]]
    assert header not in inner.scopes[0]["headers"]
    assert b"accept" in names
    assert b"traceparent" in names


@pytest.mark.parametrize("given", [b"\xe9t\xe9", b"a=b:c", b"", b"x" * 129])
async def test_a_malformed_request_id_is_replaced(inner: Inner, client: httpx.AsyncClient, given: bytes) -> None:
    answer = await client.get("/readyz", headers=[(b"x-request-id", given)])
    (answered,) = answer.headers.get_list("x-request-id")
    assert (b"x-request-id", answered.encode()) in inner.scopes[0]["headers"]
    assert len(answered) == 36


async def test_a_chunked_body_over_the_limit_is_refused_while_it_comes(inner: Inner, gate: Gate) -> None:
    upload = Upload(gate)
    await upload.put(b"x" * 1000)
    assert not upload.task.done()
    await upload.put(b"x")
    status, _, body = await upload.answer()
    assert (status, json.loads(body)["error"]["code"]) == (413, "body_too_large")
    assert (inner.scopes, gate._uploads.held) == ([], 0)


async def test_an_announced_body_over_the_limit_is_refused_unread(gate: Gate) -> None:
    upload = Upload(gate, headers=[(b"content-length", b"1001")])
    assert (await upload.answer())[0] == 413


async def test_an_upload_that_stalls_ends(inner: Inner, gate: Gate) -> None:
    uploads = [Upload(gate, path) for path in PATHS]
    for upload in uploads:
        await upload.put(b"x")
    for upload, message in zip(uploads, PATHS.values(), strict=True):
        status, _, body = await upload.answer()
        assert (status, message(json.loads(body))) == (408, "the body did not come in within 0.2 s")
    assert (inner.scopes, gate._uploads.held) == ([], 0)


async def test_bytes_are_held_until_the_answer_and_a_large_upload_gives_way(inner: Inner, gate: Gate) -> None:
    inner.gate = asyncio.Event()
    answered = Upload(gate)
    await answered.put(b"x" * 600, more=False)
    large, small = Upload(gate, "/v2/models/analyze/infer"), Upload(gate)
    await large.put(b"x" * 800)
    assert gate._uploads.held == 1400
    await small.put(b"x" * 200)
    status, headers, body = await large.answer()
    assert (status, headers[b"retry-after"]) == (503, b"1")
    assert "bytes" in json.loads(body)["error"]
    await small.put(b"", more=False)
    larger = Upload(gate)
    await larger.put(b"x" * 701)
    assert (await larger.answer())[0] == 503  # what is whole does not give way
    inner.gate.set()
    assert (await answered.answer())[0] == (await small.answer())[0] == 200
    assert gate._uploads.held == 0


async def test_a_client_that_leaves_takes_its_bytes_along(inner: Inner, gate: Gate) -> None:
    upload = Upload(gate)
    await upload.put(b"x" * 500)
    assert gate._uploads.held == 500
    upload.messages.put_nowait({"type": "http.disconnect"})
    await upload.task
    assert (upload.sent, inner.scopes, gate._uploads.held) == ([], [], 0)


async def test_limits_are_the_ingress_own_and_follow_it(inner: Inner, client: httpx.AsyncClient) -> None:
    assert (await client.post("/analyze", content=b"x" * 2000)).status_code == 413
    inner.limits = replace(SMALL, max_body_bytes=3000, bytes_in_flight=5000)
    await client.get("/models")
    assert (await client.post("/analyze", content=b"x" * 2000)).status_code == 200


async def test_without_an_ingress_that_tells_the_defaults_hold(inner: Inner, client: httpx.AsyncClient) -> None:
    inner.limits = None
    assert (await client.post("/analyze", content=b"x" * 2000)).status_code == 200


async def test_of_many_that_come_before_an_ingress_answers_one_asks(
    inner: Inner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.http.gate.ASKED_WITHIN_S", 0.1)
    asked = 0

    async def no_replica_yet(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal asked
        if scope["method"] == "HEAD":
            asked += 1
            assert (await receive())["type"] == "http.disconnect"
        else:
            await inner(scope, receive, send)

    inner.limits = None
    async with client_of(Gate(no_replica_yet, write_refusal)) as client:
        answers = await asyncio.gather(*(client.post("/analyze", content=b"x") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert asked == 1


@pytest.mark.parametrize("path", PATHS)
async def test_an_overload_is_told_on_in_the_protocols_own_form(
    inner: Inner, client: httpx.AsyncClient, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("serve_app.http.gate.time.monotonic", lambda: clock[0])
    inner.status, inner.headers = 503, {BUSY: "0.2", "Retry-After": "7"}
    assert (await client.post(path, content=b"x")).text == "answer"
    told = await client.post(path, content=b"x")
    assert (told.status_code, told.headers["Retry-After"], len(inner.scopes)) == (503, "7", 1)
    assert "as many images waiting" in PATHS[path](told.json())
    assert (await client.get(path)).text == "answer"  # what brings no body is none of it
    assert (await client.post("/elsewhere", content=b"x")).text == "answer"
    clock[0] += 0.15  # one is let through, in half the time that an image takes
    assert (await client.post(path, content=b"x")).text == "answer"
    inner.status, inner.headers = 200, {}
    clock[0] += 0.05
    assert (await client.post(path, content=b"x")).status_code == 503
    clock[0] += 1.0
    assert [(await client.post(path, content=b"x")).status_code for _ in range(5)] == [200] * 5


@pytest.mark.parametrize("path", ["/livez", "/v2/health/live", "/below/a/prefix/livez"])
async def test_whether_it_lives_is_asked_of_nobody_else(inner: Inner, client: httpx.AsyncClient, path: str) -> None:
    inner.gate = asyncio.Event()
    answer = await client.get(path)
    assert (answer.status_code, answer.json(), inner.scopes) == (200, {"live": True}, [])
    assert answer.headers["content-type"] == "application/json"
    inner.gate.set()
    assert (await client.post(path, content=b"x")).text == "answer"


class Busy:
    """An ingress that says how ready it is, as soon as it may."""

    def __init__(self) -> None:
        self.status = 200
        self.free = asyncio.Event()
        self.free.set()
        self.methods: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.methods.append(scope["method"])
        await self.free.wait()
        response = JSONResponse({"ready": self.status == 200}, self.status)
        response.raw_headers.append((LIMITS, announced(SMALL)))
        await response(scope, receive, send)


@pytest.mark.parametrize("path", ["/readyz", "/v2/health/ready", "/below/a/prefix/readyz"])
async def test_a_probe_does_not_wait_for_a_busy_ingress(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_app.latest.PATIENCE_S", 0.05)
    busy = Busy()
    async with client_of(Gate(busy, write_refusal)) as client:
        busy.free.clear()
        unknown = await client.get(path)
        assert (unknown.status_code, unknown.json()) == (503, {"ready": False})
        busy.free.set()
        assert (await client.get(path)).json() == {"ready": True}
        busy.free.clear()
        answers = [await client.get(path), await client.head(path)]
        assert [(answer.status_code, answer.headers["content-length"]) for answer in answers] == [(200, "14")] * 2
        assert LIMITS.decode() not in answers[0].headers
        assert len(answers[0].headers.get_list("x-request-id")) == 1
        busy.free.set()
        busy.status = 503
        for _ in range(2):  # the first one may still be told what was asked before
            answer = await client.get(path)
        assert (answer.status_code, answer.json()) == (503, {"ready": False})
    assert set(busy.methods) == {"GET"}


async def test_no_page_is_told_what_was_for_another_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_app.latest.PATIENCE_S", 0.05)
    busy = Busy()
    async with client_of(Gate(busy, write_refusal)) as client:
        assert (await client.get("/readyz", headers={"Origin": "https://one.example"})).status_code == 200
        busy.free.clear()
        assert (await client.get("/readyz", headers={"Origin": "https://one.example"})).status_code == 200
        assert (await client.get("/readyz", headers={"Origin": "https://other.example"})).status_code == 503
        busy.free.set()


@pytest.mark.parametrize("status", [500, 503])
async def test_a_probe_is_told_at_once_where_there_is_no_ingress(status: int) -> None:
    async with client_of(Gate(PlainTextResponse("from Serve", status), write_refusal)) as client:
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert "from Serve" not in answer.text


@pytest.fixture
def app(pipeline: Pipeline) -> ASGIApp:
    protocols = [native.routes, kserve.routes, open_inference.routes, paddlehub.routes, roboflow.routes]
    return create_app(pipeline, APP_LIMITS, protocols, frozenset())


@pytest.mark.parametrize("path", PATHS)
async def test_the_ingress_and_the_gate_refuse_alike(
    app: ASGIApp, pipeline: Pipeline, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first refusal is the application's own, the second the gate's."""

    def refuse(time_left_s: float) -> None:
        raise pipeline.admission._overloaded(("decode",), 1, 3.0)

    monkeypatch.setattr(pipeline.admission, "check", refuse)
    monkeypatch.setattr("serve_app.overloads.MEMORY_S", 60.0)
    kind = "multipart/form-data; boundary=x" if "image" in path else "application/json"
    async with client_of(Gate(app, write_refusal)) as client:
        own, gates = [await client.post(path, content=b"{}", headers={"Content-Type": kind}) for _ in range(2)]
    assert (own.status_code, own.json()) == (gates.status_code, gates.json())
    assert own.status_code == 503
    assert own.headers["Retry-After"] == gates.headers["Retry-After"]
    assert BUSY not in own.headers


async def test_the_applications_limits_reach_the_gate(app: ASGIApp) -> None:
    async with client_of(Gate(app, write_refusal)) as client:
        answer = await client.post("/v2/models/analyze/infer", content=b"x" * (APP_LIMITS.max_body_bytes + 1))
    assert (answer.status_code, list(answer.json())) == (413, ["error"])


async def test_a_client_can_only_shorten_its_own_deadline(app: ASGIApp, photo: bytes) -> None:
    """Where no gate stands before the application."""

    async def ask(arrived: str) -> int:
        headers = {"Content-Type": "image/png", ARRIVED.decode(): arrived}
        async with client_of(app) as client:
            return (await client.post("/analyze", content=photo, headers=headers)).status_code

    for arrived in ("inf", "nan", "nonsense", str(time.time() + 1e6)):
        assert await ask(arrived) == 200
    assert await ask(str(time.time() - 100)) == 504
