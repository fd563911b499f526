"""Parts of the OpenAPI document that the protocols share."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

Schema = Mapping[str, Any]
Responses = dict[int | str, dict[str, Any]]

JSON = "application/json"
BINARY: Schema = {"type": "string", "format": "binary"}
BASE64: Schema = {"type": "string", "format": "byte"}
OBJECT: Schema = {"type": "object"}
ERROR: Schema = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
"""How KServe, Triton and TensorFlow Serving refuse."""
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A PNG of one pixel, so that an example can be sent as it stands."""
STATUSES = {
    400: "Malformed request, unknown or wrong option, or no readable image",
    401: "No valid API key",
    404: "No such model or version",
    405: "Another method is for this",
    406: "Accept allows no form of the answer",
    408: "The body did not come in in time",
    413: "Body, image count or pixels over the limit",
    415: "Body of an unsupported type or encoding, or pictures in a format that is not read here",
    429: "More than the API key allows; Retry-After says when to try again",
    500: "A fault of the service",
    503: "Overloaded, or no model can answer; Retry-After says when to try again",
    504: "The deadline passed",
}
OF_KEYS = (401, 429)
"""What every route may answer that needs a key."""
OF_PICTURES = (400, 401, 408, 413, 415, 429, 500, 503, 504)
"""What every route may answer that takes pictures."""


class ErrorDetail(BaseModel):
    """What is wrong; ``image`` is the number, from 1, of the image at fault."""

    code: str
    message: str
    image: int | None = None


class ErrorJson(BaseModel):
    """The form of every error."""

    error: ErrorDetail


def answers(example: Any, schema: Schema = OBJECT, description: str = "The answer") -> Responses:
    """The answer with 200, as JSON."""
    return {200: {"description": description, "content": {JSON: {"schema": schema, "example": example}}}}


def refusals(statuses: Iterable[int], form: Schema | None = None) -> Responses:
    """Answers with these statuses, in a protocol's form, by default the native one, as a missing key is always told."""
    return {
        status: {"description": STATUSES[status], "model": ErrorJson}
        if form is None or status == 401
        else {"description": STATUSES[status], "content": {JSON: {"schema": form}}}
        for status in statuses
    }


def json_body(schema: Schema, example: Any) -> dict[str, Any]:
    """A body, for ``openapi_extra``."""
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema, "example": example}}}}


def in_path(name: str, values: Iterable[str], example: str | None = None) -> dict[str, Any]:
    """A part of the path that has one of these values."""
    known = list(values)
    schema = {"type": "string", "enum": known}
    return {"name": name, "in": "path", "required": True, "schema": schema, "example": example or known[0]}


@dataclass(frozen=True, slots=True)
class Operation:
    """A route of a protocol that finds its way by itself; ``extra`` are its parameters and body."""

    path: str
    method: str
    summary: str
    extra: Mapping[str, Any]
    responses: Responses


def document(
    router: APIRouter, endpoint: Callable[[Request], Awaitable[Response]], operations: Iterable[Operation]
) -> None:
    """Add a route to the one endpoint for each operation."""
    for each in operations:
        router.add_api_route(
            each.path,
            endpoint,
            methods=[each.method],
            summary=each.summary,
            openapi_extra=dict(each.extra),
            responses=each.responses,
            response_class=Response,
        )
