import gzip
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serve_app.http.errors import RequestError
from serve_app.http.limits import read_body
from serve_app.limits import Limits

LIMITS = Limits(max_body_bytes=1_000_000, max_images=8, max_pixels=100)


class Chunks:
    """A request body that counts what is taken from it."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            self.taken += 1
            yield chunk


async def read(content: bytes | Chunks, **headers: str) -> bytes | RequestError:
    """What read_body makes of a request."""
    outcome: list[bytes | RequestError] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            outcome.append(await read_body(Request(scope, receive), LIMITS))
        except RequestError as error:
            outcome.append(error)
        await Response()(scope, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        await client.post("/", content=content, headers={name.replace("_", "-"): v for name, v in headers.items()})
    return outcome[0]


async def refusal(content: bytes | Chunks, **headers: str) -> RequestError:
    outcome = await read(content, **headers)
    assert isinstance(outcome, RequestError)
    return outcome


async def test_the_whole_body() -> None:
    assert await read(Chunks(b"ab", b"", b"cd")) == b"abcd"
    assert await read(b"") == b""
    assert await read(b"x" * 1_000_000) == b"x" * 1_000_000


async def test_reading_stops_at_the_limit() -> None:
    body = Chunks(*[b"x" * 100_000] * 1000)
    assert (await refusal(body)).status == 413
    assert body.taken == 11


async def test_an_announced_length_over_the_limit_is_refused_unread() -> None:
    body = Chunks(*[b"x" * 100_000] * 1000)
    error = await refusal(body, content_length="100000000")
    assert (error.status, error.code) == (413, "body_too_large")
    assert "1000000" in error.message
    assert body.taken == 0


@pytest.mark.parametrize("length", ["-1", "1e3", "²", "9" * 5000, "0x10", " "])
async def test_a_length_that_is_no_number(length: str) -> None:
    scope = {"type": "http", "method": "POST", "headers": [(b"content-length", length.encode("latin-1"))]}
    with pytest.raises(RequestError, match="Content-Length"):
        await read_body(Request(scope), LIMITS)


async def test_gzip_is_undone() -> None:
    data = bytes(range(256)) * 3900
    packed = gzip.compress(data)
    assert await read(packed, content_encoding="gzip") == data
    assert await read(Chunks(*(packed[i : i + 7] for i in range(0, len(packed), 7))), content_encoding="GZip") == data


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "X-GZIP "])
async def test_gzip_of_several_members(encoding: str) -> None:
    """However it is cut: members may begin and end anywhere in a chunk."""
    parts = [b"one" * 40_000, b"", bytes(200_000), b"two"]
    packed = b"".join(gzip.compress(part) for part in parts)
    assert await read(packed, content_encoding=encoding) == b"".join(parts)
    for size in (1, 7, len(gzip.compress(parts[0]))):
        chunks = Chunks(*(packed[start : start + size] for start in range(0, len(packed), size)))
        assert await read(chunks, content_encoding=encoding) == b"".join(parts)


async def test_a_gzip_bomb_of_several_members_stops_at_the_limit() -> None:
    assert (await refusal(Chunks(*[gzip.compress(bytes(600_000))] * 3), content_encoding="gzip")).status == 413


async def test_a_gzip_bomb_stops_at_the_limit() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    body = Chunks(*(bomb[i : i + 1000] for i in range(0, len(bomb), 1000)))
    assert (await refusal(body, content_encoding="gzip")).status == 413
    assert body.taken < 5


async def test_gzip_that_never_gives_a_byte_stops_at_the_limit() -> None:
    empty_blocks = zlib.compressobj(wbits=31).flush(zlib.Z_SYNC_FLUSH) + b"\0\0\0\xff\xff" * 20_000
    body = Chunks(empty_blocks, *[b"\0\0\0\xff\xff" * 20_000] * 100)
    assert (await refusal(body, content_encoding="gzip")).status == 413
    assert body.taken < 12


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"not gzip", "not valid gzip"),
        (b"", "truncated"),
        (gzip.compress(b"x" * 1000)[:-3], "truncated"),
        (gzip.compress(b"x") + b"more", "not valid gzip"),
        (gzip.compress(b"x") + gzip.compress(b"y")[:-3], "truncated"),
        (gzip.compress(b"") * 10_001, "more than 10000 members"),
    ],
)
async def test_broken_gzip(body: bytes, named: str) -> None:
    error = await refusal(body, content_encoding="gzip")
    assert error.status == 400
    assert named in error.message


async def test_other_encodings_are_refused() -> None:
    error = await refusal(b"x", content_encoding="br")
    assert error.status == 415
    assert "br" in error.message
