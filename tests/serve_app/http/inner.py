"""An ingress that a test writes, behind the gate."""

import asyncio
from dataclasses import dataclass, field

import httpx
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.http.gate import LIMITS, announced
from serve_app.limits import Limits

SMALL = Limits(max_body_bytes=1000, upload_timeout_s=0.2, bytes_in_flight=1500)
PATHS = {
    "/analyze": lambda body: body["error"]["message"],
    "/v1/models/mask_detection:predict": lambda body: body["error"],
    "/v2/models/mask_detection/infer": lambda body: body["error"],
    "/predict/pyramidbox_lite_server_mask": lambda body: (body["status"], body["results"], body["msg"]) and body["msg"],
    "/predict/image/pyramidbox_lite_server_mask": lambda body: (body["status"] == "-1") and body["msg"],
    "/infer/object_detection": lambda body: body["message"],
    "/mask_detection/1": lambda body: body["message"],
}
"""Where each protocol takes photos, and where it says what is wrong."""


@dataclass
class Inner:
    """An ingress that keeps what came, and answers as a test sets."""

    limits: Limits | None = SMALL
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    scopes: list[Scope] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    gate: asyncio.Event | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "HEAD":
            self.scopes.append(scope)
            body, more = b"", True
            while more:
                message = await receive()
                body += message["body"]
                more = message["more_body"]
            self.bodies.append(body)
            if self.gate is not None:
                await self.gate.wait()
        response = Response("answer", self.status, {"X-Request-ID": "inner", **self.headers})
        if self.limits is not None:
            response.raw_headers.append((LIMITS, announced(self.limits)))
        response.raw_headers.append((b"X-Request-ID", b"appended by Serve"))
        await response(scope, receive, send)


def client_of(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")
