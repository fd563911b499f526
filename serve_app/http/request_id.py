"""One id for a request, in its answer, its logs and its calls to the models."""

import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,128}")


def well_formed_or_new(given: str) -> str:
    """A client's id if it is well-formed, else a new one."""
    return given if WELL_FORMED.fullmatch(given) else str(uuid.uuid4())


class RequestId:
    """ASGI middleware: ``request.state.request_id`` is the client's X-Request-ID if well-formed, else a new one.

    The answer's X-Request-ID header repeats it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = well_formed_or_new(Headers(scope=scope).get("x-request-id", ""))
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        await self.app(scope, receive, send_with_id)
