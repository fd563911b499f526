"""Every HTTP request is seen: see serve_app/seen.py."""

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.seen import Seen, watched
from serve_app.traceparent import well_formed

CLIENT_LEFT = "499"
"""In the place of a status where there was nobody to answer, as nginx logs it."""


LONGEST_PATH = 200


class SeenRequests:
    """ASGI middleware, below the one that gives a request its id: ``report`` is told of each at its end."""

    def __init__(self, app: ASGIApp, report: Callable[[Seen], None]) -> None:
        self.app = app
        self._report = report

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        parent = well_formed(Headers(scope=scope).get("traceparent"))
        path = scope.get("raw_path", b"").decode("ascii", "backslashreplace")[:LONGEST_PATH]
        request = Seen(scope["state"]["request_id"], scope["method"], parent, path, status=CLIENT_LEFT)

        async def watched_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status = str(message["status"])
            await send(message)

        with watched(request, self._report):
            await self.app(scope, receive, watched_send)
            if request.status >= "400" and request.refusal is None:
                request.refusal = f"http_{request.status}"
