"""PaddleHub Serving 2.x: ``POST /predict/{module}`` with JSON, as app_compat.py of PaddleHub 2.0 and later answers."""

import base64
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from deployments.calls import InstanceSegmentationOptions, MaskDetectionOptions
from deployments.imaging.rle import decode_rle
from deployments.results import Face, Instance
from serve_app.analysis import AnalyzeOptions, ImageAnalysis
from serve_app.http.bounded_json import parse_json
from serve_app.http.dialect import analyze, decode_base64, validate
from serve_app.http.errors import RequestError, refusals_as
from serve_app.http.limits import check_image_count, read_body
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.paddlehub import v1
from serve_app.protocols.paddlehub.openapi import ANSWER, BODY
from serve_app.protocols.paddlehub.refusal import refusal, written
from serve_app.protocols.paddlehub.v1 import MASK_MODULE, MODULES, OF_MODULE

MAX_DENSE_BYTES = 512 * 1024 * 1024
"""Of one answer's int32 masks, before base64. They are never all in memory here, but they are at the client."""
MOST_INSTANCES = 100
"""Rows that PaddleHub's solov2 answers at most."""
SLAB = 3 * 64 * 1024
"""Mask pixels encoded at a time; a multiple of 3, so that base64 needs no padding in between."""

OK, NO_MODULE, WRONG_PROTOCOL = "000", "111", "112"
PATH_LIKE = ("paths", "output_dir", "data", "save_dir")
"""Arguments by which PaddleHub's modules read, write and delete files of the server."""


class Arguments(BaseModel):
    """Arguments of both modules."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    images: list[str]
    visualization: bool = Field(False, strict=False)
    """PaddleHub saves a picture on the server; here it changes nothing."""
    batch_size: int = Field(1, ge=1)
    """Changes nothing: batches form across requests."""
    use_gpu: bool = Field(False, strict=False)
    """Changes nothing: the operator chooses the device."""
    visualize: bool | None = Field(None, strict=False)
    """This and the next two are PaddleX 3's names, which its clients send along; they change nothing."""
    file_type: int | None = Field(None, alias="fileType")
    log_id: str | None = Field(None, alias="logId")


class MaskArguments(Arguments):
    """Of ``face_detection``. Without ``confs_threshold`` the model's own default goes before PaddleHub's 0.6."""

    confs_threshold: float | None = Field(None, ge=0, le=1)
    use_multi_scale: bool = Field(False, strict=False)
    """The detector always looks on several scales; here it only makes coordinates floats, as PaddleHub does."""
    shrink: float = Field(0.5, gt=0)
    """Changes nothing: the detector's input size is fixed by its card."""


class Solov2Arguments(Arguments):
    """Of ``predict``. ``threshold`` filters, as documented; PaddleHub's code lets it act on the saved picture only."""

    threshold: float | None = Field(None, ge=0, le=1)


ArgumentsT = TypeVar("ArgumentsT", bound=Arguments)


def routes(pipeline: Pipeline, limits: Limits) -> APIRouter:
    """The routes of PaddleHub Serving, 2.x and 1.x; each with its own form of errors."""
    router = APIRouter()
    router.include_router(v1.routes(pipeline, limits))

    @router.post(
        "/predict/{module}", summary="PaddleHub Serving 2.x", openapi_extra={**OF_MODULE, **BODY}, responses=ANSWER
    )
    @refusals_as(refusal)
    async def predict(request: Request) -> Response:
        module = request.path_params["module"]
        if module not in MODULES:
            return envelope("", NO_MODULE, f"Module {module[:80]} is not available.")
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            advice = f"please use 'application/json' as content-type to post to /predict/{module}."
            return envelope("", WRONG_PROTOCOL, f"This usage is out of date, {advice}")
        pipeline.check_room(request.state.arrived)
        content = await pipeline.on_thread(parse_json, await read_body(request, limits))
        if not isinstance(content, dict):
            return envelope("", WRONG_PROTOCOL, "the body must be a JSON object with a list of base64 'images'")
        answer = _faces if module == MASK_MODULE else _instances
        return await answer(content, request, pipeline, limits)

    return router


def envelope(results: Any, status: str = OK, message: str = "") -> Response:
    """PaddleHub's answer."""
    return written({"msg": message, "results": results, "status": status})


async def _faces(content: dict[str, Any], request: Request, pipeline: Pipeline, limits: Limits) -> Response:
    arguments = _arguments(MaskArguments, content, limits)
    files = await pipeline.on_thread(_decode_all, arguments.images)
    options = AnalyzeOptions(("mask_detection",), MaskDetectionOptions(arguments.confs_threshold))
    analysis = await analyze(pipeline, request, files, options)
    # PaddleHub names pictures that came as arrays by the clock, in microseconds.
    path = f"ndarray_time={round(time.time(), 6) * 1e6}"
    results = [
        {"data": [face_entry(face, image, arguments.use_multi_scale) for face in image.faces], "path": path}
        for image in analysis.images
    ]
    return envelope(results)


def face_entry(face: Face, image: ImageAnalysis, as_floats: bool) -> dict[str, Any]:
    """A face in whole pixels unless ``as_floats``, inside the picture."""
    # ``confidence`` is the classifier's, not the face score, and that of the label answered: PaddleHub takes the
    # largest of its two outputs with its label, hence the published NO MASK with 0.935.
    entry: dict[str, Any] = {"label": face.label, "confidence": float(np.float32(face.confidence))}
    number = float if as_floats else int
    for side, largest in (
        ("left", image.width),
        ("top", image.height),
        ("right", image.width),
        ("bottom", image.height),
    ):
        entry[side] = number(min(max(getattr(face.box, side), 0), largest))
    return entry


async def _instances(content: dict[str, Any], request: Request, pipeline: Pipeline, limits: Limits) -> Response:
    arguments = _arguments(Solov2Arguments, content, limits)
    if not arguments.images:
        raise RequestError(400, "no_image", "argument 'images' is an empty list")
    # Of several pictures PaddleHub's module takes the first.
    files = await pipeline.on_thread(_decode_all, arguments.images[:1])
    segmentation = InstanceSegmentationOptions(score_threshold=arguments.threshold, max_instances=MOST_INSTANCES)
    options = AnalyzeOptions(("instance_segmentation",), instance_segmentation=segmentation)
    image = (await analyze(pipeline, request, files, options)).images[0]
    instances = sorted(image.instances, key=lambda instance: -instance.score)[:MOST_INSTANCES]
    size = len(instances) * image.height * image.width * 4
    if size > MAX_DENSE_BYTES:
        raise RequestError(
            413,
            "answer_too_large",
            f"{len(instances)} masks of {image.width}x{image.height} pixels as int32 are {size} bytes; the limit is "
            f"{MAX_DENSE_BYTES} bytes: raise 'threshold', send a smaller picture, or use POST /analyze with RLE masks",
        )
    label = base64.b64encode(np.array([instance.label_id for instance in instances], "<i8").tobytes())
    score = base64.b64encode(np.array([instance.score for instance in instances], "<f4").tobytes())
    start = b'{"msg":"","results":{"label":"' + label + b'","score":"' + score + b'","segm":"'
    end = b'"},"status":"' + OK.encode() + b'"}\n'
    length = len(start) + -(-size // 3) * 4 + len(end)

    async def body() -> AsyncIterator[bytes]:
        yield start
        slabs = dense_base64(instances)
        while slab := await pipeline.on_thread(next, slabs, b""):
            yield slab
        yield end

    return StreamingResponse(body(), headers={"Content-Length": str(length)}, media_type="application/json")


def dense_base64(instances: Sequence[Instance]) -> Iterator[bytes]:
    """Base64 of all masks as little-endian int32 [N, H, W] of 0 and 1, a slab at a time, decoded one by one."""
    carried = np.empty(0, np.bool_)
    for instance in instances:
        pixels = np.concatenate([carried, decode_rle(instance.mask).ravel()])
        whole = len(pixels) - len(pixels) % 3
        for start in range(0, whole, SLAB):
            yield base64.b64encode(pixels[start : min(start + SLAB, whole)].astype("<i4").tobytes())
        carried = pixels[whole:]
    yield base64.b64encode(carried.astype("<i4").tobytes())


def _arguments(model: type[ArgumentsT], content: dict[str, Any], limits: Limits) -> ArgumentsT:
    for name in PATH_LIKE:
        if name in content:
            raise RequestError(
                400, "bad_request", f"argument {name!r} is refused: the service reads and writes no files; use 'images'"
            )
    arguments = validate(model, content, "argument")
    check_image_count(len(arguments.images), limits)
    return arguments


def _decode_all(images: Sequence[str]) -> list[bytes]:
    return [decode_base64(image, number) for number, image in enumerate(images, 1)]
