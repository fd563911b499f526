"""Ingress replicas that die, or are not there, while the gate holds a request of theirs."""

from dataclasses import dataclass, field

import pytest
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from serve_app.http.gate import Gate
from serve_app.refusals import write_refusal
from tests.serve_app.http.inner import PATHS, Inner, client_of


@pytest.fixture
def inner() -> Inner:
    return Inner()


@dataclass
class Dying:
    """Serve in front of ingress replicas, the first of which die: it sends nothing then, or an answer of its own."""

    inner: Inner
    deaths: int
    own_status: int = 0
    bodies: list[bytes] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD" or self.deaths == 0:
            await self.inner(scope, receive, send)
            return
        self.deaths -= 1
        message = await receive()
        self.bodies.append(message.get("body", b""))
        if message["type"] == "http.disconnect":
            self.deaths = 0
        elif self.own_status:
            await Response("Serve says", self.own_status, media_type="text/plain")(scope, receive, send)


@pytest.mark.parametrize("body", [b"a photo", b""])
async def test_a_request_of_an_ingress_that_dies_goes_to_another_one(inner: Inner, body: bytes) -> None:
    serve = Dying(inner, 1)
    async with client_of(Gate(serve, write_refusal)) as client:
        answer = await client.post("/analyze", content=body)
    assert (answer.status_code, answer.text) == (200, "answer")
    assert serve.bodies + inner.bodies == [body, body]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("own_status", "status"), [(0, 503), (503, 503), (408, 504)])
async def test_where_none_answers_the_refusal_has_the_protocols_form(
    inner: Inner, path: str, own_status: int, status: int
) -> None:
    async with client_of(Gate(Dying(inner, 2, own_status), write_refusal)) as client:
        answer = await client.post(path, content=b"a photo")
    in_an_envelope = status != 503 and path.startswith("/predict/")
    assert answer.status_code == (200 if in_an_envelope else status)
    assert answer.headers.get("retry-after") == ("1" if status == 503 else None)
    assert "Serve" not in PATHS[path](answer.json())


async def test_what_serve_says_of_other_paths_is_told(inner: Inner) -> None:
    async with client_of(Gate(Dying(inner, 1, 404), write_refusal)) as client:
        answer = await client.get("/of/another/application")
    assert (answer.status_code, answer.text) == (404, "Serve says")


async def test_a_request_whose_client_left_is_not_sent_again(inner: Inner) -> None:
    serve = Dying(inner, 2)
    gone: list[Message] = [{"type": "http.disconnect"}]
    scope = {"type": "http", "method": "GET", "path": "/models", "query_string": b"", "headers": []}

    async def receive() -> Message:
        return gone[0]

    async def send(message: Message) -> None:
        raise AssertionError(message)

    await Gate(serve, write_refusal)(scope, receive, send)
    assert len(serve.bodies) == 1
