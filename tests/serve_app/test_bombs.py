"""Small inputs that stand for much: refused or read, in little memory, whatever brings them.

Sizes that a picture's header claims are in tests/deployments/imaging/decode/test_hostile.py; the time that each of
these took before it was refused is in docs/security.md.
"""

import base64
import gzip
import json
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from onnx import TensorProto, helper
from PIL import Image

from deployments.imaging.decode import ImageError, decode
from deployments.imaging.decode.raster import MAX_GIF_PIECES, MAX_JPEG_PIECES
from deployments.imaging.tags import MAX_NUMBERS
from deployments.models.card import EMBEDDED, read_card
from deployments.models.checkpoints.tensor_files import read_tensor_file
from deployments.models.onnx.file import read_signature
from serve_app.api_keys import ApiKeys, read_key_file
from serve_app.http.app import create_app
from serve_app.ingress import HTTP_PROTOCOLS
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from tests.deployments.imaging.decode.files import encode, png, png_chunk
from tests.serve_app.conftest import client_of

MB = 1024 * 1024
FLAT = Image.new("RGB", (16, 16), "teal")


@contextmanager
def bounded(most: int) -> Iterator[None]:
    """Assert that Python allocates no more bytes than that meanwhile."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def tiff(width: int, height: int, tags: dict[int, tuple[int, int, int]], content: bytes, order: str = "<") -> bytes:
    """A grey TIFF of 8 bits. tags: type, count and value of each by its number; content: from the 8th byte on."""
    usual = {256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 277: (3, 1, 1)}
    entries = sorted({**usual, **tags}.items())
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in entries)
    return b"II*\0" + struct.pack("<I", 8 + len(content)) + content + directory + bytes(4)


def tiff_of_numbers(tag: int, kind: int) -> bytes:
    """A tag with more numbers than are read."""
    strips = {273: (4, 1, 8), 278: (4, 1, 8), 279: (4, 1, 64)}
    size = {3: 2, 5: 8, 6: 1}[kind]
    return tiff(8, 8, {**strips, tag: (kind, MAX_NUMBERS + 1, 8)}, bytes(size * (MAX_NUMBERS + 1)))


def tiff_of_jpeg_tiles() -> bytes:
    """Tiles of 16x16 pixels, all of them the same few bytes."""
    tile = encode(FLAT.convert("L"), "JPEG")
    count = MAX_JPEG_PIECES + 1
    offsets, sizes = np.full(count, 8, "<u4").tobytes(), np.full(count, len(tile), "<u4").tobytes()
    places = {324: (4, count, 8 + len(tile)), 325: (4, count, 8 + len(tile) + len(offsets))}
    tags = {259: (3, 1, 7), 322: (3, 1, 16), 323: (3, 1, 16), **places}
    return tiff(16 * count, 16, tags, tile + offsets + sizes)


def bmp_of_line_ends() -> bytes:
    """49 million pixels, of which each row's first is given."""
    data = bytearray(encode(FLAT.convert("L"), "BMP"))
    data[18:26] = struct.pack("<ii", 7000, 7000)
    data[30:34] = struct.pack("<I", 1)
    start = int.from_bytes(data[10:14], "little")
    return bytes(data[:start]) + b"\1\5\0\0" * 7000 + b"\0\1"


def gif_of_comments() -> bytes:
    """Comments without a word, before the picture."""
    data = encode(FLAT.quantize(4), "GIF")
    start = 13 + (3 << (data[10] & 7) + 1)
    return data[:start] + b"!\xfe\0" * (MAX_GIF_PIECES + 1) + data[start:]


def jpeg_of_intervals() -> bytes:
    """Behind its two intervals as many that are none of the picture's, all with a zero to spare."""
    data = encode(Image.new("L", (1000, 1000)), "JPEG", restart_marker_blocks=8000)
    marker = data.index(b"\xff\xd0", data.index(b"\xff\xda"))
    spare = b"".join(b"\0\0\xff" + bytes([0xD0 + number % 8]) for number in range(1, 9000))
    return data[:marker] + b"\0\0" + data[marker:-2] + spare + data[-2:]


REFUSED_PICTURES: dict[str, Callable[[], bytes]] = {
    **{f"TIFF tag {tag}": lambda tag=tag: tiff_of_numbers(tag, 3) for tag in (258, 273, 274, 320, 338, 339)},
    "TIFF fractions": lambda: tiff_of_numbers(282, 5),
    "TIFF small numbers": lambda: tiff_of_numbers(339, 6),
    "TIFF of JPEG tiles": tiff_of_jpeg_tiles,
    "BMP of line ends": bmp_of_line_ends,
    "GIF of comments": gif_of_comments,
    "JPEG of intervals": jpeg_of_intervals,
    "JPEG of segments": lambda: b"\xff\xd8" + b"\xff\xfe\0\2" * 2001 + encode(FLAT, "JPEG")[2:],
}


@pytest.mark.parametrize("name", REFUSED_PICTURES)
def test_pictures_that_would_take_too_long_are_refused(name: str) -> None:
    data = REFUSED_PICTURES[name]()
    with bounded(3 * len(data) + 4 * MB), pytest.raises(ImageError):
        decode(data, 50_000_000)


def exif_of_numbers() -> bytes:
    """An orientation of very many numbers."""
    return tiff_of_numbers(274, 3)


def frames(count: int) -> list[Image.Image]:
    return [Image.new("RGB", (16, 16), (n % 256, n // 256, 0)) for n in range(count)]


READ_PICTURES: dict[str, Callable[[], bytes]] = {
    "iCCP": lambda: png(16, 16, 8, 0, bytes(17 * 16), png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(8 * MB)))),
    "zTXt": lambda: png(16, 16, 8, 0, bytes(17 * 16), png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(8 * MB)))),
    "iTXt": lambda: png(
        16, 16, 8, 0, bytes(17 * 16), png_chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(8 * MB)))
    ),
    "pixels beyond the picture's": lambda: png(16, 16, 8, 0, bytes(8 * MB)),
    "EXIF": lambda: png(16, 16, 8, 0, bytes(17 * 16), png_chunk(b"eXIf", exif_of_numbers())),
    "GIF frames": lambda: encode(FLAT, "GIF", save_all=True, append_images=frames(60)),
    "PNG frames": lambda: encode(FLAT, "PNG", save_all=True, append_images=frames(60)),
    "WebP frames": lambda: encode(FLAT, "WEBP", save_all=True, append_images=frames(60)),
    "TIFF pages": lambda: encode(FLAT, "TIFF", save_all=True, append_images=frames(60)),
    "a private TIFF tag": lambda: tiff(
        8,
        8,
        {273: (4, 1, 8), 278: (4, 1, 8), 279: (4, 1, 64), 65000: (3, MAX_NUMBERS + 1, 8)},
        bytes(2 * MAX_NUMBERS + 2),
    ),
}


@pytest.mark.parametrize("name", READ_PICTURES)
def test_what_says_nothing_of_the_pixels_is_left_packed(name: str) -> None:
    data = READ_PICTURES[name]()
    with bounded(5 * len(data) + 2 * MB):
        assert decode(data, 1000).shape in ((16, 16, 3), (8, 8, 3))


DEEP = b"[" * 100_000
ZEROS = base64.b64encode(bytes(600_000)).decode()
FIELDS = {
    "/analyze": "images",
    "/v1/models/mask_detection:predict": "instances",
    "/v2/models/analyze/infer": "inputs",
    "/predict/pyramidbox_lite_server_mask": "images",
    "/infer/object_detection": "image",
}
"""Of JSON requests, the field that holds pictures."""
BODIES: dict[str, Callable[[str], tuple[bytes, str]]] = {
    "deep": lambda field: (DEEP, "identity"),
    "deep in the field": lambda field: (b'{"%s":%s' % (field.encode(), DEEP), "identity"),
    "deep objects": lambda field: (b'{"a":' * 100_000, "identity"),
    "many values": lambda field: (b'{"%s":[%s""]}' % (field.encode(), b'"",' * 300_000), "identity"),
    "a long number": lambda field: (b'{"%s":%s}' % (field.encode(), b"9" * 900_000), "identity"),
    "base64 of zeros": lambda field: (json.dumps({field: [ZEROS]}).encode(), "identity"),
    "gzip": lambda field: (gzip.compress(b'{"%s":"' % field.encode() + bytes(8 * MB)), "gzip"),
    "gzip in gzip": lambda field: (gzip.compress(gzip.compress(bytes(8 * MB))), "gzip"),
    "gzip members": lambda field: (gzip.compress(b"") * 20_000, "gzip"),
    "deflate": lambda field: (zlib.compress(bytes(8 * MB)), "deflate"),
    "brotli": lambda field: (b"\x5b\xff\xff\x03\xf8\x8c\x02", "br"),
}


@pytest.fixture
def every_protocol(pipeline: Pipeline, limits: Limits) -> FastAPI:
    return create_app(pipeline, limits, HTTP_PROTOCOLS.values(), ApiKeys())


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("path", FIELDS)
async def test_bodies_are_refused(every_protocol: FastAPI, path: str, name: str) -> None:
    body, encoding = BODIES[name](FIELDS[path])
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    async with client_of(every_protocol) as client:
        with bounded(20 * MB):
            answer = await client.post(path, content=body, headers=headers)
    refused = answer.status_code in (400, 413, 415)
    # PaddleHub says so in a 200.
    assert refused or (path.startswith("/predict/") and answer.json()["status"] != "000"), answer.text


ALIASES = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join(9 * [f'*a{n - 1}'])}]\n" for n in range(1, 9)
)
MERGES = "a0: &a0 {k: v}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join(9 * [f'*a{n - 1}'])}]}}\n" for n in range(1, 9))
TEXTS = {
    "aliases": ALIASES,
    "merges": MERGES,
    "a cycle": "a: &a [*a]\n",
    "depth": "a: " + "[\n" * 2000,
    "depth of objects": "{a: " * 1000,
    "aliases of a long list": f"a: &a [{'x, ' * 1000}]\nb: [{'*a, ' * 1000}]\n",
    "a long number": "a: " + "9" * 10_000,
}
YAML_READERS: dict[str, Callable[[Path], Any]] = {"card": read_card, "keys": read_key_file}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("kind", YAML_READERS)
def test_yaml_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(TEXTS[name])
    with bounded(100 * MB), pytest.raises(ValueError, match=r"file\.yaml"):
        YAML_READERS[kind](path)


def test_aliases_that_stand_for_little_are_read(tmp_path: Path) -> None:
    text = (EMBEDDED / "face_mask.yaml").read_text(encoding="utf-8")
    (tmp_path / "card.yaml").write_text(text.replace("metrics:", "limits: [&a one, *a]\nmetrics:", 1), encoding="utf-8")
    assert read_card(tmp_path / "card.yaml").name == "face_mask"


def onnx_file(*dims: int, **fields: Any) -> bytes:
    """A file with one stored tensor."""
    tensor = TensorProto(name="weight", data_type=TensorProto.FLOAT, dims=dims, **fields)
    images, scores = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("images", "scores"))
    graph = helper.make_graph(
        [helper.make_node("Add", ["images", "weight"], ["scores"])], "g", [images], [scores], [tensor]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return bytes(model.SerializeToString())


def outside(location: str) -> bytes:
    entry = TensorProto(external_data=[{"key": "location", "value": location}]).external_data
    return onnx_file(1, data_location=TensorProto.EXTERNAL, external_data=entry)


SAFETENSORS = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
MODEL_FILES: dict[str, tuple[Callable[[Path], Any], bytes]] = {
    "safetensors, a header of an exabyte": (read_tensor_file, struct.pack("<Q", 2**60) + b"{}"),
    "safetensors, a tensor of 4 TB": (read_tensor_file, struct.pack("<Q", len(SAFETENSORS)) + SAFETENSORS),
    "pickle, a text of 4 GB": (read_tensor_file, b"\x80\x04B" + b"\xff" * 4 + b"abc."),
    "pickle, a frame of an exabyte": (read_tensor_file, b"\x80\x04\x95" + (2**60).to_bytes(8, "little") + b"N."),
    "pickle, doubling": (read_tensor_file, b"\x80\x04]" + b"2\x86" * 1000 + b"."),
    "pickle, depth": (read_tensor_file, b"\x80\x04" + b"]" * 10_000 + b"a" * 9_999 + b"."),
    "ONNX, a tensor of an exabyte": (read_signature, onnx_file(2**30, 2**30)),
    "ONNX, a negative side": (read_signature, onnx_file(-1)),
    "ONNX, data above its folder": (read_signature, outside("../secret")),
    "ONNX, data anywhere": (read_signature, outside("/dev/zero")),
    "ONNX, itself as data": (read_signature, outside("model.bin") + b"\x08"),
}


@pytest.mark.parametrize("name", MODEL_FILES)
def test_model_files_give_no_tensors(tmp_path: Path, name: str) -> None:
    read, data = MODEL_FILES[name]
    path = tmp_path / "model.bin"
    path.write_bytes(data)
    with bounded(100 * MB), suppress(ValueError):
        assert not read(path).tensors, "it holds none"
