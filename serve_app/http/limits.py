"""Bounds on what a request may make us hold, checked before the work that they bound."""

import asyncio
import re
import zlib
from collections.abc import AsyncIterator

from starlette.requests import Request

from serve_app.http.errors import RequestError
from serve_app.limits import Limits

INFLATED_PIECE = 64 * 1024
"""Bytes that gzip yields at a time: a small chunk may inflate a thousandfold."""
MAX_GZIP_MEMBERS = 10_000
"""Each costs its own inflater, however little it holds."""


async def read_body(request: Request, limits: Limits) -> bytes:
    """The whole body, gzip undone. Raises as ``body_chunks``."""
    return b"".join([chunk async for chunk in body_chunks(request, limits)])


async def body_chunks(request: Request, limits: Limits) -> AsyncIterator[bytes]:
    """The body as it comes in, gzip undone. Reads nothing beyond the limit.

    Raises RequestError: 413 for a body over the limit, 415 for a content encoding other than gzip or identity, 400 for
    a broken gzip stream or a Content-Length that is not a number.
    """
    announced = request.headers.get("content-length")
    if announced is not None:
        if not re.fullmatch("[0-9]{1,18}", announced):
            raise RequestError(400, "bad_request", "Content-Length is not a number of bytes")
        check_size(int(announced), limits)
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    is_gzip = encoding in ("gzip", "x-gzip")
    if not is_gzip and encoding not in ("identity", ""):
        raise RequestError(
            415, "unsupported_encoding", f"content encoding {encoding[:40]!r} is not supported; use gzip"
        )
    chunks = _bounded(request.stream(), limits)
    async for chunk in _bounded(_inflated(chunks), limits) if is_gzip else chunks:
        yield chunk
        await asyncio.sleep(0)  # other requests' turn: a body that is here already is read without a wait


def check_size(size: int, limits: Limits) -> None:
    """Raise RequestError 413 if a body of ``size`` bytes is over the limit."""
    if size > limits.max_body_bytes:
        raise RequestError(413, "body_too_large", f"the body is larger than the limit of {limits.max_body_bytes} bytes")


def check_image_count(count: int, limits: Limits) -> None:
    """Raise RequestError 413 if ``count`` images are over the limit."""
    if count > limits.max_images:
        raise RequestError(
            413, "too_many_images", f"the request has more images than the limit of {limits.max_images} images"
        )


async def _bounded(chunks: AsyncIterator[bytes], limits: Limits) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        check_size(size, limits)
        yield chunk


async def _inflated(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Undo gzip, which may be of several members one after the other (RFC 1952, 2.2)."""
    stream, members = _member(), 1
    try:
        async for chunk in chunks:
            while chunk:
                if stream.eof:
                    stream, members = _member(), members + 1
                if members > MAX_GZIP_MEMBERS:
                    raise RequestError(400, "bad_request", f"the gzip body has more than {MAX_GZIP_MEMBERS} members")
                if piece := stream.decompress(chunk, INFLATED_PIECE):
                    yield piece
                await asyncio.sleep(0)  # other requests' turn: nothing else here waits
                chunk = stream.unconsumed_tail or stream.unused_data
            while piece := stream.decompress(b"", INFLATED_PIECE):
                yield piece
                await asyncio.sleep(0)
    except zlib.error as error:
        raise RequestError(400, "bad_request", "the body is not valid gzip") from error
    if not stream.eof:
        raise RequestError(400, "bad_request", "the gzip body is truncated")


def _member() -> "zlib._Decompress":
    return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
