"""Bounds on what a request may make us hold, checked before the work that they bound."""

import zlib
from dataclasses import dataclass

from starlette.requests import Request

from serve_app.http.errors import RequestError


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may send."""

    max_body_bytes: int
    """Also after gzip is undone."""
    max_images: int
    max_pixels: int
    """Width times height of one image."""


async def read_body(request: Request, limits: Limits) -> bytes:
    """The body, gzip undone. Stops reading at the limit.

    Raises RequestError: 413 for a body over the limit, 415 for a content encoding other than gzip or identity, 400 for
    a broken gzip stream or a Content-Length that is not a number.
    """
    announced = request.headers.get("content-length")
    if announced is not None:
        if not announced.isdigit():
            raise RequestError(400, "bad_request", "Content-Length is not a number")
        check_size(int(announced), limits)
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip"):
        raise RequestError(
            415, "unsupported_encoding", f"content encoding {encoding[:40]!r} is not supported; use gzip"
        )
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        check_size(len(body), limits)
    return inflate(bytes(body), limits) if encoding == "gzip" else bytes(body)


def check_size(size: int, limits: Limits) -> None:
    """Raise RequestError 413 if a body of ``size`` bytes is over the limit."""
    if size > limits.max_body_bytes:
        raise RequestError(413, "body_too_large", f"the body is larger than the limit of {limits.max_body_bytes} bytes")


def inflate(data: bytes, limits: Limits) -> bytes:
    """Undo gzip, never holding more than the limit."""
    stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        body = stream.decompress(data, limits.max_body_bytes + 1)
    except zlib.error as error:
        raise RequestError(400, "bad_request", "the body is not valid gzip") from error
    check_size(len(body), limits)
    if not stream.eof or stream.unused_data:
        raise RequestError(400, "bad_request", "the gzip body is truncated or has bytes after its end")
    return body
