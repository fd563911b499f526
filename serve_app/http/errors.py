"""Errors of the HTTP side: the one table that gives failures their status, and the native form of an error."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec

import orjson
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.admission import Overloaded
from serve_app.seen import seen

if TYPE_CHECKING:  # Serve's proxies import this module, and need none of the pipeline
    from serve_app.analysis import Failure

logger = logging.getLogger("ray.serve")

P = ParamSpec("P")

STATUS_OF_FAILURE = {
    "unreadable_image": 400,
    "unsupported_format": 400,
    "image_too_large": 413,
    "overloaded": 503,
    "unavailable": 503,
    "deadline_exceeded": 504,
    "internal": 500,
}
PRECEDENCE = (400, 413, 504, 503, 500)
"""Of several failures the one whose status comes last here stands for all."""


BUSY = "x-maskgraph-busy"
"""The header by which an ingress tells the gate of an overload; it does not leave the service."""


class RequestError(Exception):
    """A request that is refused: the status and what a client may be told. Every dialect writes it in its own form."""

    def __init__(
        self, status: int, code: str, message: str, image: int | None = None, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.image = image
        """Number of the image at fault, from 1, if it is one image's."""
        self.retry_after_s = retry_after_s
        self.interval_s: float | None = None
        """Of an overload: how often room for one image comes."""

    @property
    def headers(self) -> dict[str, str]:
        """``Retry-After``, where there is one, and for the gate how often room comes."""
        headers = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        return headers if self.interval_s is None else headers | {BUSY: f"{self.interval_s:.4f}"}

    @property
    def told(self) -> str:
        """What a client is told, with the number of the image at fault."""
        return f"image {self.image}: {self.message}" if self.image is not None else self.message


def refusals_as(
    write: Callable[[RequestError], Response],
) -> Callable[[Callable[P, Awaitable[Response]]], Callable[P, Awaitable[Response]]]:
    """A route whose RequestErrors are answered in its protocol's own form, which ``write`` knows."""

    def decorate(route: Callable[P, Awaitable[Response]]) -> Callable[P, Awaitable[Response]]:
        @wraps(route)
        async def answer(*arguments: P.args, **named: P.kwargs) -> Response:
            try:
                return await route(*arguments, **named)
            except RequestError as error:
                return write(noted(error))
            except Overloaded as overloaded:
                return write(noted(from_overload(overloaded)))

        return answer

    return decorate


def noted(error: RequestError) -> RequestError:
    """The error, and what is seen of its request is that it was refused for it."""
    seen().refusal = error.code
    return error


def from_overload(overloaded: Overloaded) -> RequestError:
    """The error of a request that could not be answered in time."""
    error = RequestError(503, "overloaded", str(overloaded), retry_after_s=overloaded.retry_after_s)
    error.interval_s = overloaded.interval_s
    return error


def from_failures(failures: Sequence["Failure"], image: int | None = None) -> RequestError:
    """The one error that stands for several failures: our own faults first, then overload, deadline, the client's."""
    worst = max(failures, key=lambda failure: PRECEDENCE.index(STATUS_OF_FAILURE[failure.code]))
    status = STATUS_OF_FAILURE[worst.code]
    return RequestError(status, worst.code, worst.message, image, retry_after_s=1 if status == 503 else None)


def error_response(error: RequestError, headers: Mapping[str, str] | None = None) -> Response:
    """The native form: ``{"error": {"code", "message", "image"?}}``."""
    content: dict[str, str | int] = {"code": error.code, "message": error.message}
    if error.image is not None:
        content["image"] = error.image
    headers = {**(headers or {}), **error.headers}
    return Response(orjson.dumps({"error": content}), error.status, headers, media_type="application/json")


class ErrorBoundary:
    """ASGI middleware: what nobody caught is logged and becomes a 500 that tells a client nothing of our insides."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watched_send)
        except ClientDisconnect:
            return  # while it sent its body; there is nobody to answer
        except Exception:
            if scope["type"] != "http":
                raise
            logger.exception("request %s failed", scope.get("state", {}).get("request_id"))
            if started:
                raise
            response = error_response(noted(RequestError(500, "internal", "the service failed on this request")))
            await response(scope, receive, send)
