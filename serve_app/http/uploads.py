"""Bodies on their way in: read whole before anything waits for them, within limits of size, time and memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from serve_app.http.errors import RequestError
from serve_app.limits import Limits


@dataclass(eq=False, slots=True)
class _Upload:
    timer: asyncio.Timeout
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0
    gave_way: bool = False


class Uploads:
    """The bodies that one server holds, from their first byte until their requests are answered."""

    def __init__(self) -> None:
        self.held = 0
        """Bytes."""
        self._arriving: dict[_Upload, None] = {}

    @asynccontextmanager
    async def body(
        self, receive: Receive, announced: int | None, limits: Limits
    ) -> AsyncIterator[Callable[[], Receive]]:
        """Makes a ``receive`` that gives the whole body, and then what follows it, as often as it is called.

        Raises RequestError 413 as soon as the body is over its limit, 408 if it takes too long, 503 if too many are
        there already; ClientDisconnect if the client leaves.
        """
        if (announced or 0) > limits.max_body_bytes:
            raise too_large(limits.max_body_bytes)
        upload = _Upload(asyncio.timeout(limits.upload_timeout_s))
        try:
            await self._read(upload, receive, limits)
            yield partial(_replayed, upload.chunks, receive)
        finally:
            self.held -= upload.size

    async def _read(self, upload: _Upload, receive: Receive, limits: Limits) -> None:
        self._arriving[upload] = None
        try:
            async with upload.timer:
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnect
                    self._take(upload, message.get("body", b""), limits)
                    more = message.get("more_body", False)
        except TimeoutError:
            if upload.gave_way:
                raise _too_many_bytes() from None
            seconds = f"{limits.upload_timeout_s:g}"
            raise RequestError(408, "upload_timeout", f"the body did not come in within {seconds} s") from None
        finally:
            del self._arriving[upload]

    def _take(self, upload: _Upload, chunk: bytes, limits: Limits) -> None:
        if upload.size + len(chunk) > limits.max_body_bytes:
            raise too_large(limits.max_body_bytes)
        if self.held + len(chunk) > limits.bytes_in_flight:
            # A large body that is slow to come gives way to a small one, never the other way round.
            largest = max(self._arriving, key=lambda each: 0 if each.gave_way else each.size)
            if largest is upload:
                raise _too_many_bytes()
            largest.gave_way = True
            largest.timer.reschedule(asyncio.get_running_loop().time())
        upload.chunks.append(chunk)
        upload.size += len(chunk)
        self.held += len(chunk)


def too_large(limit: int) -> RequestError:
    """The refusal of a body over the limit of so many bytes."""
    return RequestError(413, "body_too_large", f"the body is larger than the limit of {limit} bytes")


def _too_many_bytes() -> RequestError:
    return RequestError(503, "overloaded", "the service holds as many bytes of bodies as it may", retry_after_s=1)


def _replayed(chunks: list[bytes], receive: Receive) -> Receive:
    """Gives the chunks, then whatever ``receive`` gives."""
    given = 0

    async def replay() -> Message:
        nonlocal given
        if given >= max(1, len(chunks)):
            return await receive()
        chunk = chunks[given] if chunks else b""
        given += 1
        return {"type": "http.request", "body": chunk, "more_body": given < len(chunks)}

    return replay
