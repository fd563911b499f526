"""What stands before Serve's own queues: an ASGI middleware that Serve puts into each of its HTTP servers.

Those are the proxies; with HAProxy, the ingress replicas. Here a body is read whole before its request takes a place
that others need, an overload that the ingress told of is told on without asking it again, and headers by which a
client could change what the operator set are left out.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Iterable

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.admission import OVERLOADED
from serve_app.http.errors import BUSY, RequestError
from serve_app.http.request_id import well_formed_or_new
from serve_app.http.uploads import Uploads
from serve_app.latest import Latest
from serve_app.limits import Limits
from serve_app.overloads import NOBODY_ANSWERS, Overloads

logger = logging.getLogger("ray.serve")

ARRIVED = b"x-maskgraph-arrived"
"""Tells the ingress when a request came: wall clock, seconds since the epoch."""
LIMITS = b"x-maskgraph-limits"
"""Tells the gate what a body may be: bytes, seconds, bytes of all bodies. Like BUSY it does not leave the service."""
REQUEST_ID = b"x-request-id"
IGNORED = {
    b"x-request-timeout-seconds",
    b"x-request-disconnect-disabled",
    b"serve-multiplexed-model-id",
    b"x-session-id",
    REQUEST_ID,
    ARRIVED,
}
"""By the first four Serve lets a client choose its deadline, its cancellation, and its replica; the others are ours."""
TRACING = (b"traceparent", b"tracestate")
"""Serve decodes them as UTF-8 and fails on what is not."""
LIVE = re.compile("/(livez|v2/health/live)$")
"""Answered here: whether this process lives is no question to another one, which may have much to do."""
READY = re.compile("/(readyz|v2/health/ready)$")
"""Asked of the ingress, but not for long: behind many photos its answer would come too late for a probe."""
SERVES_TIMEOUT = 408
SERVES_OWN = (SERVES_TIMEOUT, 500, 503)
"""Statuses of answers that Serve gives in the place of a replica; those of the ingress tell the limits."""
ASKED_WITHIN_S = 5.0

Headers_ = Iterable[tuple[bytes, bytes]]


class Forwarded:
    """One request on its way to an ingress replica.

    Serve starts no answer where the replica died that had the request, and one of its own where there is no replica.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.client_left = False
        self.answered = False
        self.status = 0
        """Of Serve's own answer, which is not sent."""

    async def receive(self) -> Message:
        """What comes from the client."""
        message = await self._receive()
        self.client_left |= message["type"] == "http.disconnect"
        return message

    async def send(self, message: Message) -> None:
        """What comes from the replica."""
        if message["type"] == "http.response.start" and not _is_own(message):
            self.status = message["status"]
        if not self.status:
            self.answered = True
            await self._send(message)


class Kept:
    """An answer that is kept instead of sent."""

    def __init__(self) -> None:
        self.response = Response()

    async def send(self, message: Message) -> None:
        """What comes from the replica."""
        if message["type"] == "http.response.start":
            self.response.status_code = message["status"]
            self.response.raw_headers = list(message["headers"])
        else:
            self.response.body = bytes(self.response.body) + message.get("body", b"")


class Gate:
    """Refuses by itself what it can, in the form of the path's protocol, as ``write_refusal`` knows it."""

    def __init__(
        self,
        app: ASGIApp,
        write_refusal: Callable[[str, RequestError], Response],
        report: Callable[[str], None] = lambda code: None,
    ) -> None:
        """``report`` is told the code of each refusal."""
        self.app = app
        self._write_refusal = write_refusal
        self._report = report
        self._uploads = Uploads()
        self._limits: Limits | None = None
        self._announced_limits = b""
        self._asking = asyncio.Lock()
        self._ask_again = 0.0
        self._overloads = Overloads()
        self._readiness = Latest[Response]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = well_formed_or_new(headers.get("x-request-id", ""))
        own = [(REQUEST_ID, request_id.encode()), (ARRIVED, str(time.time()).encode())]
        scope = {**scope, "headers": [*filter(_is_passed_on, scope["headers"]), *own]}

        async def watched_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": self._learn(scope["path"], message["headers"], request_id)}
            await send(message)

        if LIVE.search(scope["path"]) and scope["method"] in ("GET", "HEAD"):
            await Response(b'{"live":true}', media_type="application/json")(scope, receive, watched_send)
            return
        try:
            if READY.search(scope["path"]) and scope["method"] in ("GET", "HEAD"):
                await (await self._ready(scope, headers))(scope, receive, watched_send)
                return
            await self._pass(scope, receive, watched_send, headers)
        except RequestError as error:
            self._report(error.code)
            fields = {"request_id": request_id, "status": str(error.status), "code": error.code}
            logger.info("the gate refused: %s %s", error.status, error.code, extra=fields)
            await self._write_refusal(scope["path"], error)(scope, receive, watched_send)
        except ClientDisconnect:
            return  # while it sent its body; there is nobody to answer

    async def _ready(self, scope: Scope, headers: Headers) -> Response:
        """What the ingress says of its readiness, or said lately. Raises RequestError where there is none."""

        async def ask() -> Response:
            kept = Kept()
            await self._forward({**scope, "method": "GET"}, lambda: _nothing, kept.send)
            kept.response.raw_headers = self._learn(scope["path"], kept.response.raw_headers, "")
            return kept.response

        not_ready = Response(b'{"ready":false}', 503, media_type="application/json")
        question = (scope["path"], headers.get("origin"))  # each origin has CORS headers of its own
        return await self._readiness.answer(question, ask) or not_ready

    async def _pass(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        length = headers.get("content-length")
        if "transfer-encoding" not in headers and length in (None, "0"):
            await self._forward(scope, lambda: receive, send)
            return
        retry_after_s = self._overloads.retry_after_s(scope["path"])
        if retry_after_s is not None:
            raise RequestError(503, "overloaded", OVERLOADED, retry_after_s=retry_after_s)
        announced = int(length) if length is not None and re.fullmatch("[0-9]{1,18}", length) else None
        limits = self._limits or await self._ask(scope)
        async with self._uploads.body(receive, announced, limits) as whole:
            await self._forward(scope, whole, send)

    async def _forward(self, scope: Scope, whole: Callable[[], Receive], send: Send) -> None:
        """To an ingress replica, and to another one if that dies.

        Raises RequestError in the place of what Serve itself would say, as plain text, where none answers.
        """
        for _ in range(2):
            forwarded = Forwarded(whole(), send)
            await self.app(scope, forwarded.receive, forwarded.send)
            if forwarded.answered or forwarded.client_left:
                return
            if forwarded.status == SERVES_TIMEOUT:
                raise RequestError(504, "deadline_exceeded", "the service gave no answer in time")
        raise RequestError(503, "unavailable", NOBODY_ANSWERS, retry_after_s=1)

    async def _ask(self, scope: Scope) -> Limits:
        """What the ingress allows, which each of its answers tells; the defaults where there is none yet."""
        kept = [(name, value) for name, value in scope["headers"] if name in (b"host", REQUEST_ID, ARRIVED)]
        head = {**scope, "method": "HEAD", "headers": kept}

        async def learn(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._learn(scope["path"], message["headers"], "")

        async with self._asking:
            # While none answers, those who wait here do not all ask in turn.
            if self._limits is None and time.monotonic() >= self._ask_again:
                await self.app(head, _nothing, learn)
                self._ask_again = time.monotonic() + ASKED_WITHIN_S
        return self._limits or Limits()

    def _learn(self, path: str, headers: Headers_, request_id: str) -> list[tuple[bytes, bytes]]:
        """Take to heart what the ingress tells the gate; the rest of the headers, with one request id."""
        rest = []
        told = {}
        for name, value in headers:
            if name.lower() in (LIMITS, BUSY.encode()):
                told[name.lower()] = value
            elif name.lower() != REQUEST_ID:
                rest.append((name, value))
        if LIMITS in told and told[LIMITS] != self._announced_limits:
            self._announced_limits = told[LIMITS]
            self._limits = _read_limits(told[LIMITS])
        if BUSY.encode() in told:
            retry_after_s = int(dict(rest).get(b"retry-after", b"1"))
            self._overloads.remember(path, retry_after_s, float(told[BUSY.encode()]))
        return [*rest, (REQUEST_ID, request_id.encode())]


async def _nothing() -> Message:
    """The ``receive`` of what the gate asks by itself: there is no body, and nobody waits for long."""
    await asyncio.sleep(ASKED_WITHIN_S)
    return {"type": "http.disconnect"}


def _is_passed_on(header: tuple[bytes, bytes]) -> bool:
    name, value = header
    return name.replace(b"_", b"-") not in IGNORED and (name not in TRACING or value.isascii())


def _is_own(start: Message) -> bool:
    """Whether an answer's first message is the ingress's, or Serve's about a path that is not ours."""
    return start["status"] not in SERVES_OWN or any(name.lower() == LIMITS for name, _ in start["headers"])


def announced(limits: Limits) -> bytes:
    """What the ingress tells the gate of its limits."""
    return f"{limits.max_body_bytes} {limits.upload_timeout_s} {limits.bytes_in_flight}".encode()


def _read_limits(text: bytes) -> Limits:
    body, seconds, every = text.split()
    return Limits(max_body_bytes=int(body), upload_timeout_s=float(seconds), bytes_in_flight=int(every))
