"""When a request came, and what the gate before Serve's queues should know."""

import time

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.http.gate import ARRIVED, LIMITS, announced
from serve_app.limits import Limits


class Arrival:
    """ASGI middleware: ``request.state.arrived`` is when the request came to us, in seconds since the epoch.

    That is what the gate says; without a gate a client may say it, but no more than shorten its own deadline.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app = app
        self._limits = (LIMITS, announced(limits))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        now = time.time()
        told = Headers(scope=scope).get(ARRIVED.decode())
        scope.setdefault("state", {})["arrived"] = now if told is None else min(_seconds(told, now), now)

        async def send_with_limits(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], self._limits]}
            await send(message)

        await self.app(scope, receive, send if told is None else send_with_limits)


def _seconds(text: str, otherwise: float) -> float:
    try:
        seconds = float(text)
    except ValueError:
        return otherwise
    return seconds if seconds == seconds else otherwise
