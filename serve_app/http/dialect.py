"""What the foreign dialects share: base64 pictures, one analysis or one error, the drawn picture."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from deployments.imaging.decode import decode
from deployments.imaging.draw import LONGEST_JPEG_SIDE, draw, encode_picture
from serve_app.analysis import Analysis, AnalyzeOptions, AnalyzeRequest, EncodedImage, ImageAnalysis
from serve_app.http.base64_text import BrokenBase64, read_base64
from serve_app.http.errors import RequestError, from_failures
from serve_app.pipeline import Pipeline
from serve_app.traceparent import well_formed

Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], content: Mapping[str, Any], kind: str) -> Model:
    """Check ``content``, whose entries are called ``kind`` ("argument", "field"). Raises RequestError 400."""
    try:
        return model.model_validate(content)
    except ValidationError as invalid:
        error = invalid.errors(include_url=False, include_context=False)[0]
    name = str(error["loc"][0])[:80]
    if error["type"] == "missing":
        raise RequestError(400, "bad_request", f"{kind} {name!r} is missing")
    if error["type"] == "extra_forbidden":
        known = ", ".join(info.alias or field for field, info in model.model_fields.items())
        raise RequestError(400, "bad_request", f"unknown {kind} {name!r}; known: {known}")
    value = error["input"]
    but = f", not {str(value)[:80]!r}" if isinstance(value, str | int | float) else ""
    raise RequestError(400, "bad_request", f"{kind} {name!r}: {error['msg'][0].lower()}{error['msg'][1:]}{but}")


def decode_base64(value: object, number: int) -> bytes:
    """The picture file in image ``number``'s base64, as ``read_base64`` takes it.

    Raises RequestError 400 ``bad_base64`` that names the image.
    """
    if not isinstance(value, str | bytes):
        raise RequestError(400, "bad_base64", "must be a base64 string", number)
    try:
        data = read_base64(value)
    except BrokenBase64 as error:
        raise RequestError(400, "bad_base64", f"the base64 is broken: {error}", number) from None
    if not data:
        raise RequestError(400, "no_image", "is empty", number)
    return data


async def analyze(pipeline: Pipeline, request: Request, files: Sequence[bytes], options: AnalyzeOptions) -> Analysis:
    """Analyse every picture file. Raises RequestError for the first that failed: no partial answers here."""
    call = AnalyzeRequest(
        [EncodedImage(data) for data in files],
        request.state.request_id,
        options,
        well_formed(request.headers.get("traceparent")),
        arrived=request.state.arrived,
    )
    analysis = await pipeline.analyze(call)
    for number, image in enumerate(analysis.images, 1):
        if image.errors:
            raise from_failures(image.errors, number)
    return analysis


def drawn_jpeg(data: bytes, max_pixels: int, image: ImageAnalysis, number: int) -> bytes:
    """The picture with its answer drawn on it.

    The file is decoded once more: pixels kept through the analysis of many pictures would take a gigabyte.
    Raises RequestError 400 for a picture too long for JPEG.
    """
    pixels = decode(data, max_pixels)
    if max(pixels.shape) > LONGEST_JPEG_SIDE:
        raise RequestError(400, "image_too_large", f"no JPEG has a side over {LONGEST_JPEG_SIDE} pixels", number)
    return encode_picture(draw(pixels, image.faces, image.instances, image.objects), "jpeg")
