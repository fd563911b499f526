"""Base64 in requests, and the masks of answers."""

from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from benchmarks.fuzzing.pictures import encoded, picture
from benchmarks.fuzzing.target import Target
from deployments.imaging.masks import encode_rle, to_png
from deployments.imaging.polygons import to_polygons
from deployments.imaging.rle import decode_rle, rle_area, rle_box
from serve_app.http.base64_text import BrokenBase64, read_base64


def base64() -> Target:
    """Base64 in every dress."""

    def check(data: bytes) -> None:
        with suppress(BrokenBase64):
            read_base64(data)
        with suppress(BrokenBase64):
            read_base64(data.decode("utf-8", errors="surrogateescape"))

    seeds = {
        "plain": b64encode(encoded(picture(), "PNG")),
        "uri": b"data:image/png;base64,AA-_\r\nAA==",
        "short": b"AAA",
    }
    return Target(seeds, check)


def run_lengths() -> Target:
    """Masks of answers, as clients read them: two bytes of size, then counts."""
    mask = np.zeros((20, 30), np.bool_)
    mask[3:15, 4:20] = True
    mask[6:9, 7:11] = False
    seed = bytes([20, 30]) + encode_rle(mask)["counts"].encode()
    readers: tuple[Callable[[Any], Any], ...] = (rle_area, rle_box, decode_rle, to_png)

    def check(data: bytes) -> None:
        size = [data[0] if data else 1, data[1] if len(data) > 1 else 1]
        rle = {"size": size, "counts": data[2:].decode("utf-8", errors="surrogateescape")}
        for read in readers:
            with suppress(ValueError):
                read(rle)
        with suppress(ValueError):
            to_polygons(decode_rle(rle))

    return Target({"mask": seed}, check)
