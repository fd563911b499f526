"""JSON from strangers: bounded before it is built, since two bytes of an empty list become sixty."""

from typing import Any

import orjson

from serve_app.http.errors import RequestError

VALUE_MEMORY = 32
CONTAINER_MEMORY = 80
"""Roughly the bytes that a number, or a list or object beside its values, takes once it is built."""
OPTIONS_MEMORY = 2 * 1024 * 1024
"""For a body of options and picture files in base64, whose own bytes do not count."""
PIXELS_MEMORY = 192 * 1024 * 1024
"""For a body that may hold pixels as numbers: a megapixel of floats."""


def parse_json(body: bytes, max_memory: int = OPTIONS_MEMORY) -> Any:
    """Parse a body. Raises RequestError 400 ``bad_json``; NaN and infinities are no JSON.

    Holds the interpreter's lock meanwhile: call it on a thread, where the bound keeps it short.
    """
    # Base64 has none of these characters, so picture files do not count.
    memory = VALUE_MEMORY * body.count(b",") + CONTAINER_MEMORY * (body.count(b"[") + body.count(b"{"))
    if memory > max_memory:
        message = f"the JSON has too many values, some {memory} bytes in memory; the limit is {max_memory}"
        raise RequestError(400, "bad_json", f"{message}; send pictures as files, pixels as a binary tensor")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, "bad_json", f"the body is not valid JSON: {error.msg}") from None
