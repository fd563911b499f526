"""Reads a request to ``POST /analyze``: multipart files, a raw picture, or JSON."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from starlette.requests import Request

from serve_app.analysis import EncodedImage, Failure, ImageAnalysis
from serve_app.http.base64_text import BrokenBase64, read_base64
from serve_app.http.bounded_json import parse_json
from serve_app.http.errors import RequestError
from serve_app.http.limits import body_chunks, check_image_count, read_body
from serve_app.http.multipart import read_form
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.native.options import NativeOptions, parse_options

LONGEST_NAME = 255

Image = EncodedImage | ImageAnalysis
"""A picture file, or the answer already where there is none to be had."""


@dataclass(frozen=True, slots=True)
class NativeRequest:
    """The images in order, one at least, and what to do with them."""

    images: list[Image]
    options: NativeOptions


class JsonImage(BaseModel):
    """A picture file in base64."""

    model_config = ConfigDict(extra="forbid", strict=True)

    b64: str = Field(description="The picture file in base64, standard or URL-safe; a data: URI is taken too.")
    name: str | None = Field(None, max_length=LONGEST_NAME, description="Repeated in the answer.")


class JsonBody(BaseModel):
    """The JSON form of a request."""

    model_config = ConfigDict(extra="forbid", strict=True)

    images: list[
        Annotated[JsonImage, BeforeValidator(lambda value: {"b64": value} if isinstance(value, str) else value)]
    ]
    options: dict[str, Any] = Field(default_factory=dict)


async def read_request(request: Request, pipeline: Pipeline, limits: Limits) -> NativeRequest:
    """Read and check the whole request, but for the pictures themselves.

    Raises RequestError: 400 for what is malformed, missing or unknown, 413 over a limit, 415 for another type of body.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    text: list[tuple[str, str]] = list(request.query_params.multi_items())
    fields: dict[str, Any] = {}
    images: list[Image]
    if media_type == "multipart/form-data":
        images, form_fields = await _from_form(request, limits)
        text += form_fields
    elif media_type == "application/json":
        images, fields = await pipeline.on_thread(_from_json, await read_body(request, limits), limits)
    elif media_type.startswith("image/") or media_type == "application/octet-stream":
        body = await read_body(request, limits)
        if not body:
            raise RequestError(400, "no_image", "the body is empty")
        images = [EncodedImage(body)]
    else:
        raise await _wrong_type(request, media_type, limits)
    return NativeRequest(images, parse_options(text, fields, pipeline.labels))


async def _from_form(request: Request, limits: Limits) -> tuple[list[Image], Iterable[tuple[str, str]]]:
    parts = await read_form(request, limits, file_fields=("image",))
    for part in parts:
        if part.is_file and part.name != "image":
            raise RequestError(400, "unknown_field", f"files go in fields named 'image', not {part.name[:80]!r}")
    files = [part for part in parts if part.is_file]
    if not files:
        raise RequestError(400, "no_image", "the form has no file in a field named 'image'")
    for number, part in enumerate(files, 1):
        if len(part.filename or "") > LONGEST_NAME:
            raise RequestError(
                400, "bad_request", f"the name of image {number} is over {LONGEST_NAME} characters", number
            )
    images = [_from_part(bytes(part.data), part.filename or None) for part in files]
    return images, [(part.name, part.text) for part in parts if not part.is_file]


def _from_part(data: bytes, filename: str | None) -> Image:
    """A file of a form; without a file's name, what reads as a path or URL is one whose file was to be sent."""
    if filename is None and len(data) <= LONGEST_NAME and data.isascii() and (b"." in data or b"/" in data):
        text = data.decode()
        if text.isprintable():
            told = f"{text[:80]!r} is no file, and no path or URL is opened: send the file (curl -F image=@FILE)"
            return ImageAnalysis(None, errors=[Failure("unsupported_format", told)])
    return EncodedImage(data, filename)


def _from_json(body: bytes, limits: Limits) -> tuple[list[Image], dict[str, Any]]:
    if not body:
        raise RequestError(400, "no_image", "the body is empty")
    content = parse_json(body)
    if not isinstance(content, dict):
        raise RequestError(400, "bad_json", 'the body must be an object: {"images": [...], "options": {...}}')
    for name in content:
        if name not in JsonBody.model_fields:
            raise RequestError(
                400,
                "unknown_field",
                f"unknown field {name[:80]!r}; known fields: images, options (which holds options)",
            )
    if isinstance(content.get("images"), list):
        check_image_count(len(content["images"]), limits)
    try:
        parsed = JsonBody.model_validate(content)
    except ValidationError as invalid:
        raise _malformed(invalid) from None
    if not parsed.images:
        raise RequestError(400, "no_image", "field 'images' is empty")
    return [_decode(image) for image in parsed.images], parsed.options


def _malformed(invalid: ValidationError) -> RequestError:
    error = invalid.errors(include_url=False, include_input=False, include_context=False)[0]
    field, *inside = error["loc"]
    number = inside[0] + 1 if field == "images" and inside and isinstance(inside[0], int) else None
    where = f"image {number}" if number else f"field {str(field)!r}"
    within = "".join(f", field {str(part)[:80]!r}" for part in inside[1:])
    wanted = "must be a base64 string or an object" if error["type"] == "model_type" else error["msg"].lower()
    return RequestError(400, "bad_request", f"{where}{within}: {wanted}", number)


def _decode(image: JsonImage) -> Image:
    """A base64 image; broken base64 is that image's own error, as any other unreadable picture."""
    if image.b64.startswith(("http://", "https://")):
        told = "it is a URL, and none is fetched: send the picture file in base64"
        return ImageAnalysis(image.name, errors=[Failure("unreadable_image", told)])
    try:
        return EncodedImage(read_base64(image.b64), image.name)
    except BrokenBase64 as error:
        failure = Failure("unreadable_image", f"the base64 is broken: {error}")
        return ImageAnalysis(image.name, errors=[failure])


async def _wrong_type(request: Request, media_type: str, limits: Limits) -> RequestError:
    async for chunk in body_chunks(request, limits):
        if chunk:
            given = f"Content-Type {media_type[:80]!r} is not supported" if media_type else "there is no Content-Type"
            return RequestError(
                415,
                "unsupported_media_type",
                f"{given}; use multipart/form-data, image/*, application/octet-stream or application/json",
            )
    return RequestError(400, "no_image", "the body is empty")
