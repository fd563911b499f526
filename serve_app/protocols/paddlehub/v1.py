"""PaddleHub Serving 1.x: ``POST /predict/image/{module}`` with a form, ``/get/modules``.

After app_single.py of PaddleHub 1.5 to 1.8. Its ``results`` is a string that clients give to Python's ``eval``.
"""

import asyncio
import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from string import hexdigits
from typing import Any

import numpy as np
from fastapi import APIRouter
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from serve_app.analysis import AnalyzeOptions, ImageAnalysis
from serve_app.http.bounded_json import parse_json
from serve_app.http.dialect import analyze, decode_base64, drawn_jpeg
from serve_app.http.errors import RequestError, refusals_as
from serve_app.http.limits import check_image_count, read_body
from serve_app.http.multipart import read_form
from serve_app.http.openapi import in_path
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.paddlehub.openapi import ANSWER_OF_1X, FORM
from serve_app.protocols.paddlehub.openapi import MODULES as MODULES_ANSWER
from serve_app.protocols.paddlehub.refusal import refusal_of_1x, written

MASK_MODULE = "pyramidbox_lite_server_mask"
MODULES = (MASK_MODULE, "solov2")
OF_MODULE = {"parameters": [in_path("module", MODULES)]}
"""Of the path. Told to the OpenAPI document only: an unknown one is refused in PaddleHub's form."""
MAX_FORM_FIELDS = 100
UNQUOTED_AT_ONCE = 1024 * 1024
"""Bytes of a form."""
HEX_DIGITS = np.array([int(chr(code), 16) if chr(code) in hexdigits else -1 for code in range(256)], np.int16)
LONGEST_NAME = 255
DATA_FORM = '\'data\' must be JSON: {"b64s": ["<base64>", ...]}'


@dataclass(frozen=True, slots=True)
class Upload:
    """The pictures of a request; ``names`` are the files', None where they came as base64 in ``data``."""

    files: list[bytes]
    names: list[str] | None


def routes(pipeline: Pipeline, limits: Limits) -> APIRouter:
    """The routes of 1.x; errors are HTTP 200 with status "-1", as there, but say what is wrong."""
    router = APIRouter()

    @router.get("/get/modules", summary="PaddleHub Serving 1.x: modules", responses=MODULES_ANSWER)
    @router.post("/get/modules", summary="PaddleHub Serving 1.x: modules", responses=MODULES_ANSWER)
    async def modules() -> Response:
        choices = [{"Choose...": "Choose..."}, *({module: module} for module in MODULES)]
        return written({"module_info": {"cv_module": choices}})

    @router.post(
        "/predict/image/{module}",
        summary="PaddleHub Serving 1.x",
        openapi_extra={**OF_MODULE, **FORM},
        responses=ANSWER_OF_1X,
    )
    @refusals_as(refusal_of_1x)
    async def predict(request: Request) -> Response:
        module = request.path_params["module"]
        if module not in MODULES:
            return written({"error": f"Module {module[:80]} is not available."})
        if module != MASK_MODULE:
            raise RequestError(400, "bad_request", f"post JSON to /predict/{module}: it has no 1.x form")
        pipeline.check_room(request.state.arrived)
        results = await _results(await _read(request, pipeline, limits), request, pipeline)
        return written({"msg": "", "results": repr(results), "status": "0"})

    return router


async def _read(request: Request, pipeline: Pipeline, limits: Limits) -> Upload:
    """The pictures of either form. Other fields, ``visual_result`` among them, change nothing."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        parts = await read_form(request, limits, file_fields=(), max_text_bytes=limits.max_body_bytes)
        images = [part for part in parts if part.is_file and part.name == "image"]
        texts = {part.name: bytes(part.data) for part in parts if not part.is_file}
        if images and "data" in texts:
            raise RequestError(400, "bad_request", "send files named 'image' or the field 'data', not both")
        if images:
            return Upload([bytes(part.data) for part in images], [_base_name(part.filename) for part in images])
    elif media_type == "application/x-www-form-urlencoded":
        texts = await pipeline.on_thread(parse_urlencoded, await read_body(request, limits))
    else:
        raise RequestError(
            415, "unsupported_media_type", "send a form: files named 'image', or the field 'data' with base64 pictures"
        )
    if "data" in texts:
        return Upload(await pipeline.on_thread(_from_data, texts["data"], limits), None)
    if "image" in texts:
        raise RequestError(400, "bad_request", "Unrecognized file type: 'image' must be a file")
    raise RequestError(400, "no_image", "the form has neither a file named 'image' nor the field 'data'")


def parse_urlencoded(body: bytes) -> dict[str, bytes]:
    """Fields of an application/x-www-form-urlencoded body, the last of a name. Raises RequestError for too many."""
    pairs = body.split(b"&", MAX_FORM_FIELDS)
    if len(pairs) > MAX_FORM_FIELDS:
        raise RequestError(413, "too_many_fields", f"the form has more than {MAX_FORM_FIELDS} fields")
    fields = {}
    for pair in pairs:
        name, _, value = pair.partition(b"=")
        fields[_unquote(name).decode("utf-8", errors="replace")] = _unquote(value)
    return fields


def _unquote(quoted: bytes) -> bytes:
    """Undo percent-encoding. Array work: Python's own takes seconds for a body that is all escapes."""
    quoted = quoted.replace(b"+", b" ")
    pieces, start = [], 0
    while start < len(quoted):
        end = start + UNQUOTED_AT_ONCE
        escape = quoted.find(b"%", end - 2, end)  # not to be cut in two
        end = escape if escape >= 0 else end
        pieces.append(_unquote_piece(np.frombuffer(quoted[start:end] + b"  ", np.uint8)))
        start = end
    return b"".join(pieces)


def _unquote_piece(codes: NDArray[np.uint8]) -> bytes:
    """The piece ends in two spaces, which are left out."""
    digits = HEX_DIGITS[codes]
    values = digits[1:-1] * 16 + digits[2:]
    escapes = (codes[:-2] == ord("%")) & (digits[1:-1] >= 0) & (digits[2:] >= 0)
    kept = np.ones(len(codes), np.bool_)
    kept[1:-1] &= ~escapes
    kept[2:] &= ~escapes
    unquoted = np.where(escapes, values, codes[:-2]).astype(np.uint8)
    return unquoted[kept[:-2]].tobytes()


def _from_data(data: bytes, limits: Limits) -> list[bytes]:
    """The pictures in ``data``. 1.x gives it to Python's ``eval``; here it is JSON, which its own clients send."""
    try:
        content = parse_json(data)
    except RequestError as error:
        raise RequestError(400, error.code, f"{DATA_FORM}; {error.message.replace('the body', 'it')}") from None
    if not isinstance(content, dict) or content.keys() != {"b64s"} or not isinstance(content["b64s"], list):
        raise RequestError(400, "bad_request", DATA_FORM)
    if not content["b64s"]:
        raise RequestError(400, "no_image", "'b64s' is an empty list")
    check_image_count(len(content["b64s"]), limits)
    return [decode_base64(value, number) for number, value in enumerate(content["b64s"], 1)]


async def _results(upload: Upload, request: Request, pipeline: Pipeline) -> list[dict[str, Any]]:
    """One entry an image; uploaded files come back with the answer drawn on them, as 1.5 did unasked."""
    analysis = await analyze(pipeline, request, upload.files, AnalyzeOptions(("mask_detection",)))
    results = [_entry(image, number) for number, image in enumerate(analysis.images, 1)]
    if upload.names is None:
        return results
    for entry, name, picture in zip(
        results, upload.names, await _draw(upload.files, analysis.images, pipeline), strict=True
    ):
        # The documented client saves the picture under this name, so it is the file's own and not empty.
        entry["path"] = name
        entry["base64"] = f"data:image/jpg;base64,{base64.b64encode(picture).decode('ascii')}"
    return results


def _entry(image: ImageAnalysis, number: int) -> dict[str, Any]:
    faces = [
        {
            "label": face.label,
            "left": face.box.left,
            "right": face.box.right,
            "top": face.box.top,
            "bottom": face.box.bottom,
            "confidence": face.confidence,
        }
        for face in image.faces
    ]
    return {"data": faces or "No face.", "path": "", "id": number}


async def _draw(files: Sequence[bytes], images: Sequence[ImageAnalysis], pipeline: Pipeline) -> list[bytes]:
    try:
        async with asyncio.timeout(pipeline.timeout_s):
            return await asyncio.gather(
                *(
                    pipeline.on_thread(drawn_jpeg, data, pipeline.max_pixels, image, number)
                    for number, (data, image) in enumerate(zip(files, images, strict=True), 1)
                )
            )
    except TimeoutError:
        raise RequestError(504, "deadline_exceeded", "drawing the pictures took too long") from None


def _base_name(filename: str | None) -> str:
    """The last part of a client's file name: what comes back must name a file, never a folder elsewhere."""
    name = re.split(r"[/\\]", filename or "")[-1][-LONGEST_NAME:]
    return "" if name in (".", "..") else name
