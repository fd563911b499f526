from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from serve_app.http.errors import RequestError
from serve_app.http.multipart import Part, read_form
from serve_app.limits import Limits

LIMITS = Limits(max_body_bytes=1_000_000, max_images=3, max_pixels=100)


async def parse(
    body: bytes, chunk: int = 1 << 16, content_type: str = "multipart/form-data; boundary=b", limits: Limits = LIMITS
) -> list[Part]:
    pieces = [body[start : start + chunk] for start in range(0, len(body), chunk)]

    async def messages() -> AsyncIterator[Message]:
        for piece in pieces:
            yield {"type": "http.request", "body": piece, "more_body": True}
        yield {"type": "http.request", "body": b"", "more_body": False}

    stream = messages()
    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", content_type.encode())]}
    return await read_form(Request(scope, stream.__anext__), limits, file_fields=("image",))


def part(disposition: str, data: bytes, *headers: str) -> bytes:
    lines = [f"Content-Disposition: form-data; {disposition}", *headers]
    return b"--b\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n" + data + b"\r\n"


END = b"--b--\r\n"


async def test_files_and_text() -> None:
    parts = await parse(
        part('name="image"; filename="ä.jpg"', b"\r\n--\xff", "Content-Type: image/jpeg")
        + part('name="masks"', "größe".encode())
        + part('name="image"', b"nameless")
        + END
    )
    assert [(p.name, p.filename, p.is_file, bytes(p.data)) for p in parts] == [
        ("image", "ä.jpg", True, b"\r\n--\xff"),
        ("masks", None, False, "größe".encode()),
        ("image", None, True, b"nameless"),
    ]
    assert parts[1].text == "größe"


@given(data=st.binary(max_size=60), chunk=st.integers(1, 70))
async def test_any_bytes_in_any_chunks(data: bytes, chunk: int) -> None:
    if b"\r\n--b" in data:
        return
    (one,) = await parse(part('name="image"; filename="x"', data) + END, chunk)
    assert bytes(one.data) == data


@given(st.lists(st.sampled_from([b"--b", b"--b--", b"\r\n", b":", b"Content-Disposition", b'name="a"', b"x", b" "])))
async def test_garbage_is_refused_or_read_never_worse(pieces: list[bytes]) -> None:
    try:
        outcome: list[Part] | RequestError = await parse(b"".join(pieces))
    except RequestError as error:
        outcome = error
    assert outcome.status in (400, 413) if isinstance(outcome, RequestError) else len(outcome) <= len(pieces)


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        (b"", 400, "empty"),
        (b"hello", 400, "multipart"),
        (part('name="image"', b"x"), 400, "closing boundary"),
        (part('filename="x"', b"x") + END, 400, "no field name"),
        (b"--b\r\n\r\nx\r\n" + END, 400, "no field name"),
        (part('name="a"', b"x" * 70_000) + END, 413, "'a'"),
        (part('name="image"; filename="x"', b"x") * 4 + END, 413, "3 images"),
        (part('name="a"', b"x") * 101 + END, 413, "100 text fields"),
        (part('name="a"', b"x", *(f"X-{n}: 1" for n in range(50))) + END, 400, "multipart"),
        (part('name="a"', b"x", "X: " + "y" * 10_000) + END, 400, "multipart"),
    ],
)
async def test_what_is_refused(body: bytes, status: int, named: str) -> None:
    with pytest.raises(RequestError) as caught:
        await parse(body)
    assert caught.value.status == status
    assert named in caught.value.message


@pytest.mark.parametrize("parameters", ["", "; boundary=", '; boundary=""', "; boundary=" + "b" * 300])
async def test_the_boundary_must_be_there(parameters: str) -> None:
    with pytest.raises(RequestError) as caught:
        await parse(part('name="image"', b"x") + END, content_type="multipart/form-data" + parameters)
    assert caught.value.status == 400


async def test_what_lies_after_the_end_is_passed_over() -> None:
    assert len(await parse(part('name="image"', b"x") + END + b"epilogue")) == 1
