"""Optional API keys."""

import hmac
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.http.errors import RequestError, error_response

OPEN_PATHS = frozenset({"/livez", "/readyz"})
"""What load balancers ask, which hold no key."""


class ApiKeys:
    """ASGI middleware: a request must carry one of ``keys``, as ``Authorization: Bearer KEY`` or ``X-API-Key: KEY``."""

    def __init__(self, app: ASGIApp, keys: Collection[str]) -> None:
        self.app = app
        self._keys = [key.encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._admits(scope):
            await self.app(scope, receive, send)
            return
        error = RequestError(401, "unauthorized", "a valid API key is needed: Authorization: Bearer KEY, or X-API-Key")
        await error_response(error, {"WWW-Authenticate": "Bearer"})(scope, receive, send)

    def _admits(self, scope: Scope) -> bool:
        if scope["path"].removeprefix(scope.get("root_path", "")) in OPEN_PATHS:
            return True
        headers = Headers(scope=scope)
        scheme, _, key = headers.get("authorization", "").partition(" ")
        given = key.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        # Every key is compared, so that the time taken tells nothing of which one was close.
        return sum(hmac.compare_digest(given.encode("latin-1"), key) for key in self._keys) > 0
