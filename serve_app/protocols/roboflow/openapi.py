"""What the OpenAPI document says of Roboflow's routes."""

from collections.abc import Iterable
from typing import Any

from serve_app.http.openapi import (
    BASE64,
    BINARY,
    OBJECT,
    OF_KEYS,
    OF_PICTURES,
    PICTURE,
    Responses,
    answers,
    in_path,
    json_body,
    refusals,
)

REFUSAL = {"type": "object", "required": ["message"], "properties": {"message": {"type": "string"}}}
PREDICTION = {"x": 217.0, "y": 127.6, "width": 87.1, "height": 99.6, "confidence": 0.9, "class": "MASK", "class_id": 1}
ANSWER = {"inference_id": "1", "time": 0.067, "image": {"width": 725, "height": 440}, "predictions": [PREDICTION]}
INFERRED: Responses = {
    **answers(ANSWER, {"type": ["object", "array"]}),
    **refusals((*OF_PICTURES, 404), REFUSAL),
}


def registry(model_ids: Iterable[str]) -> Responses:
    """The answer of ``/model/registry`` and of ``/model/add``."""
    models = [{"model_id": name, "task_type": "object-detection"} for name in model_ids]
    return {**answers({"models": models}), **refusals(OF_KEYS, REFUSAL)}


def model_id_body(model_id: str) -> dict[str, Any]:
    """The body of ``/model/add``."""
    properties = {"model_id": {"type": "string"}}
    return json_body({"type": "object", "required": ["model_id"], "properties": properties}, {"model_id": model_id})


def infer_body(model_id: str) -> dict[str, Any]:
    """The body of ``/infer/...``."""
    properties = {
        "model_id": {"type": "string"},
        "image": {"description": 'An object `{"type": "base64", "value": "..."}`, or a list of them.'},
        "confidence": {"description": "0 to 1, or `best` or `default`."},
        "class_filter": {"type": "array", "items": {"type": "string"}},
        "max_detections": {"type": "integer"},
        "response_mask_format": {"enum": ["polygon", "rle"]},
        "visualize_predictions": {"type": "boolean"},
    }
    return json_body(
        {"type": "object", "required": ["model_id", "image"], "properties": properties},
        {"model_id": model_id, "image": {"type": "base64", "value": PICTURE}},
    )


def hosted(version: str) -> dict[str, Any]:
    """Path, query and body of the hosted form."""
    query = {
        "confidence": {"description": "0 to 1, or percent."},
        "overlap": {"description": "Likewise."},
        "classes": {"type": "string", "description": "Separated by commas."},
        "max_detections": {"type": "integer", "minimum": 1},
        "response_mask_format": {"enum": ["polygon", "rle"]},
        "format": {"enum": ["json", "image", "image_and_json"]},
    }
    form = {"type": "object", "required": ["file"], "properties": {"file": BINARY}}
    return {
        "parameters": [
            in_path("version", [version]),
            *({"name": name, "in": "query", "schema": schema} for name, schema in query.items()),
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/x-www-form-urlencoded": {"schema": BASE64, "example": PICTURE},
                "multipart/form-data": {"schema": form},
            },
        },
    }


def hosted_answers() -> Responses:
    """JSON, or with ``format=image`` the drawn picture."""
    answer = answers(ANSWER, OBJECT)
    answer[200]["content"]["image/jpeg"] = {"schema": BINARY}
    return {**answer, **refusals((*OF_PICTURES, 404), REFUSAL)}
