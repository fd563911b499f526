"""Optional API keys."""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.api_keys import carries_key
from serve_app.http.errors import RequestError, error_response


class ApiKeys:
    """ASGI middleware: a request must carry one of ``keys``, as ``Authorization: Bearer KEY`` or ``X-API-Key: KEY``.

    GET of ``open_paths`` needs none.
    """

    def __init__(self, app: ASGIApp, keys: Collection[str], open_paths: Collection[str]) -> None:
        self.app = app
        self._keys = keys
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._admits(scope):
            await self.app(scope, receive, send)
            return
        error = RequestError(401, "unauthorized", "a valid API key is needed: Authorization: Bearer KEY, or X-API-Key")
        await error_response(error, {"WWW-Authenticate": "Bearer"})(scope, receive, send)

    def _admits(self, scope: Scope) -> bool:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path in self._open_paths and scope["method"] == "GET":
            return True
        return carries_key(Headers(scope=scope), self._keys)
