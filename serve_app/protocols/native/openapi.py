"""What the OpenAPI document says of ``POST /analyze``, made from the models that check it."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from deployments.models.card import Task
from serve_app.protocols.native.answer import AnswerJson
from serve_app.protocols.native.options import options_model
from serve_app.protocols.native.request import JsonImage

BINARY = {"type": "string", "format": "binary"}


class ErrorDetail(BaseModel):
    """What is wrong; ``image`` is the number, from 1, of the image at fault."""

    code: str
    message: str
    image: int | None = None


class ErrorJson(BaseModel):
    """The form of every error."""

    error: ErrorDetail


ERRORS = {
    400: "Malformed request, unknown or wrong option, or no readable image",
    401: "No valid API key",
    406: "Accept allows no form of the answer",
    408: "The body did not come in in time",
    413: "Body, image count or pixels over the limit",
    415: "Body of an unsupported type or encoding, or pictures in a format that is not read here",
    429: "More than the API key allows; Retry-After says when to try again",
    500: "A fault of the service",
    503: "Overloaded, or no model can answer; Retry-After says when to try again",
    504: "The deadline passed",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer: JSON, or by Accept the annotated picture. A task that failed on a picture is named "
        "in the header X-Failed-Tasks.",
        "model": AnswerJson,
        "content": {"image/jpeg": {"schema": BINARY}, "image/png": {"schema": BINARY}},
    },
    **{status: {"description": text, "model": ErrorJson} for status, text in ERRORS.items()},
}


def request_body_and_parameters(tasks: Iterable[Task]) -> dict[str, Any]:
    """The query parameters and every form of the body, for the ``openapi_extra`` of a service of these tasks."""
    options: dict[str, dict[str, Any]] = options_model(tuple(tasks)).model_json_schema()["properties"]
    parameters = [
        {"name": name, "in": "query", "description": schema["description"], "schema": schema}
        for name, schema in options.items()
    ]
    form = {
        "type": "object",
        "required": ["image"],
        "properties": {"image": {"type": "array", "items": BINARY, "description": "Picture files"}, **options},
    }
    image = {"oneOf": [{"type": "string", "format": "byte"}, JsonImage.model_json_schema()]}
    body = {
        "type": "object",
        "required": ["images"],
        "additionalProperties": False,
        "properties": {
            "images": {"type": "array", "minItems": 1, "items": image},
            "options": {"type": "object", "additionalProperties": False, "properties": options},
        },
    }
    content = {
        "multipart/form-data": {"schema": form},
        "image/*": {"schema": BINARY},
        "application/octet-stream": {"schema": BINARY},
        "application/json": {"schema": body},
    }
    return {"parameters": parameters, "requestBody": {"required": True, "content": content}}
