"""The service in this process, over branches that find one thing in whatever picture they get."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from starlette.types import ASGIApp, Message

from benchmarks.fuzzing.target import WrongAnswer
from deployments.calls import Answer, Call
from deployments.imaging.masks import encode_rle
from deployments.models.card import ModelCard, Task, card_path, read_card
from deployments.results import Box, Face, Instance
from serve_app.admission import Capacity
from serve_app.api_keys import ApiKeys
from serve_app.grpc.call import CallRefused
from serve_app.http.app import create_app
from serve_app.http.gate import Gate
from serve_app.ingress import HTTP_PROTOCOLS
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.refusals import write_refusal

LIMITS = Limits(max_body_bytes=1_000_000, max_images=8, max_pixels=100_000)
OVERLOADED = (503, 504)
"""What a deadline that the client chose may end in."""
OUR_FAULT = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)


@dataclass
class OneFinding:
    """A branch."""

    card: ModelCard
    thresholds: Mapping[str, float] = field(default_factory=dict)

    async def __call__(self, image: NDArray[np.uint8], call: Call) -> Answer:
        box = Box(0, 0, call.width, call.height)
        if self.card.task == "mask_detection":
            return Answer([Face(box, 0.9, "MASK", 0.8)], 1.0, 1.0)
        mask = encode_rle(np.ones((call.height, call.width), np.bool_))
        return Answer([Instance(0, "person", 0.9, box, mask, call.height * call.width)], 1.0, 1.0)

    def ready(self) -> bool:
        """Always."""
        return True


def pipeline() -> Pipeline:
    """Over both branches, with one decoding thread."""
    cards: dict[Task, str] = {"mask_detection": "face_mask", "instance_segmentation": "solov2_people"}
    branches = {task: OneFinding(read_card(card_path(name))) for task, name in cards.items()}
    return Pipeline(branches, max_pixels=LIMITS.max_pixels, timeout_s=30.0, decode_threads=1, capacity=Capacity())


def application() -> ASGIApp:
    """Every HTTP protocol."""
    return create_app(pipeline(), LIMITS, HTTP_PROTOCOLS.values(), ApiKeys(), ["https://a.example"], write_refusal)


class HttpService:
    """Sends requests to the application and looks at how it answers."""

    def __init__(self) -> None:
        self._app = application()
        self._loop = asyncio.new_event_loop()

    def check(self, data: bytes) -> None:
        """``data``: a request as HTTP/1.1 writes it, with plain line feeds. Raises WrongAnswer."""
        head, _, body = data.partition(b"\n\n")
        line, *fields = head.split(b"\n")
        method, _, target = line.partition(b" ")
        path, _, query = target.partition(b"?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method.decode("latin-1").upper(),
            "scheme": "http",
            "path": path.decode("utf-8", errors="replace"),
            "raw_path": path,
            "root_path": "",
            "query_string": query,
            "headers": [
                (name.strip().lower(), value.strip()) for name, _, value in (f.partition(b":") for f in fields)
            ],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000),
        }
        self._loop.run_until_complete(self._answered(scope, body))

    async def _answered(self, scope: dict[str, Any], body: bytes) -> None:
        size = max(1, -(-len(body) // (1 + len(body) % 4)))
        pieces = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
        waiting = [
            {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
            for number, piece in enumerate(pieces, 1)
        ]
        status = 0
        complete = asyncio.Event()

        async def receive() -> Message:
            if waiting:
                return waiting.pop(0)
            await complete.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif not message.get("more_body", False):
                complete.set()

        # A gate of its own each time: one that was told of an overload answers everything else itself.
        await Gate(self._app, write_refusal)(scope, receive, send)
        if not complete.is_set() or (status >= 500 and status not in OVERLOADED):
            raise WrongAnswer(f"status {status}")


def _split(field: bytes) -> tuple[bytes, bytes, bytes]:
    return field.partition(b":")


class _Context:
    """A gRPC call's."""

    def set_code(self, code: grpc.StatusCode) -> None:
        """Whatever it is, the call's exception tells it, too."""

    def set_details(self, details: str) -> None:
        """Raises what gRPC raises for text that it cannot send."""
        details.encode()

    def set_trailing_metadata(self, trailing_metadata: Sequence[tuple[str, str | bytes]]) -> None:
        """Passed over."""

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]]:
        """None."""
        return ()


class GrpcMethods:
    """Calls one of a service's methods, chosen by an input's first byte."""

    def __init__(self, *methods: Any) -> None:
        self._methods = methods
        self._loop = asyncio.new_event_loop()

    def check(self, data: bytes) -> None:
        """Raises WrongAnswer."""
        method = self._methods[data[0] % len(self._methods)] if data else self._methods[0]
        try:
            answer = self._loop.run_until_complete(method(data[1:], _Context()))
        except CallRefused as refused:
            if refused.code in OUR_FAULT:
                raise WrongAnswer(refused.details) from refused
            return
        answer.SerializeToString()
