"""Optional API keys over HTTP."""

from collections.abc import Callable, Collection

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.api_keys import ApiKeys, TooManyRequests
from serve_app.http.errors import RequestError, error_response, noted


class Authentication:
    """ASGI middleware: a request must carry one of ``keys``, as ``Authorization: Bearer KEY`` or ``X-API-Key: KEY``.

    GET of ``open_paths`` needs none. Who asks for more than their key allows is refused with 429, as ``write_refusal``
    writes it for the path.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: ApiKeys,
        open_paths: Collection[str],
        write_refusal: Callable[[str, RequestError], Response],
    ) -> None:
        self.app = app
        self._keys = keys
        self._open_paths = open_paths
        self._write_refusal = write_refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_open(scope):
            await self.app(scope, receive, send)
            return
        holder = self._keys.holder(Headers(scope=scope))
        if holder is None:
            message = "a valid API key is needed: Authorization: Bearer KEY, or X-API-Key"
            refusal = error_response(noted(RequestError(401, "unauthorized", message)), {"WWW-Authenticate": "Bearer"})
            await refusal(scope, receive, send)
            return
        try:
            with holder.request():
                await self.app(scope, receive, send)
        except TooManyRequests as error:
            refused = RequestError(429, "too_many_requests", str(error), retry_after_s=error.retry_after_s)
            await self._write_refusal(scope["path"], noted(refused))(scope, receive, send)

    def _is_open(self, scope: Scope) -> bool:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        return path in self._open_paths and scope["method"] == "GET"
