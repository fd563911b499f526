"""Uploads that try what a service must bear, whichever proxy stands before it: pieces over a socket, and what is
promised of them."""

import asyncio
import re
import time
from contextlib import suppress

import httpx

from tests.photos import astronaut, jpeg
from tests.served.conftest import UPLOAD_TIMEOUT_S

PHOTO = jpeg(astronaut())
JPEG = {"Content-Type": "image/jpeg"}
HEAD = "POST /analyze HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"


async def talk(url: str, *pieces: bytes, pause_s: float = 0.0) -> bytes:
    """Send pieces over a socket, wait between them, and read one answer and what comes with it."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        length = re.search(rb"content-length: ([0-9]+)", head, re.IGNORECASE)
        assert length, head
        answer = head + await reader.readexactly(int(length[1]))
        with suppress(TimeoutError):  # of an answer too many
            answer += await asyncio.wait_for(reader.read(1000), 0.2)
        return answer
    finally:
        writer.close()


async def no_header_changes_the_deadline(url: str) -> None:
    """Whatever clients ask of Serve: photos are answered, and an upload that stalls ends when the settings say."""

    async def ask(seconds: str) -> None:
        headers = {"X-Request-Timeout-Seconds": seconds, "x-request-disconnect-disabled": "?1"}
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            assert (await client.post("/analyze", content=PHOTO, headers=headers | JPEG)).status_code == 200
        stalled = f"{HEAD}X-Request-Timeout-Seconds: {seconds}\r\nContent-Length: 1000\r\n\r\nx".encode()
        started = time.monotonic()
        assert (await talk(url, stalled)).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - started >= UPLOAD_TIMEOUT_S - 0.5

    await asyncio.gather(*map(ask, ("0.001", "1000000", "0", "inf")))


async def stalled_uploads_end_and_hold_up_nobody(url: str) -> None:
    """Beside 70 of them a photo and a probe are answered."""
    stalled = f"{HEAD}Content-Length: 1000\r\n\r\nx".encode()
    uploads = [asyncio.create_task(talk(url, stalled)) for _ in range(70)]
    await asyncio.sleep(0.5)
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        assert (await client.post("/analyze", content=PHOTO, headers=JPEG)).status_code == 200
        assert (await client.get("/livez")).status_code == 200
    answers = await asyncio.gather(*uploads)
    assert all(answer.startswith(b"HTTP/1.1 408") and b"upload_timeout" in answer for answer in answers)


async def a_chunked_body_over_the_limit_is_refused_while_it_comes(url: str) -> None:
    """Its end, which never comes, is not waited for."""
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    answer = await talk(url, f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode(), *[chunk] * 17)
    assert answer.startswith(b"HTTP/1.1 413"), answer[:300]
