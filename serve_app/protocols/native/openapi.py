"""What the OpenAPI document says of ``POST /analyze``, made from the models that check it."""

from collections.abc import Iterable
from typing import Any

from deployments.models.card import Task
from serve_app.http.openapi import BASE64, BINARY, JSON, OF_PICTURES, PICTURE, Responses, refusals
from serve_app.protocols.native.answer import AnswerJson
from serve_app.protocols.native.options import options_model
from serve_app.protocols.native.request import JsonImage

EXAMPLE = {
    "images": [
        {
            "id": 1,
            "name": "photo.jpg",
            "width": 725,
            "height": 440,
            "faces": [
                {
                    "label": "MASK",
                    "confidence": 0.9772,
                    "face_score": 0.9048,
                    "box": {"left": 173.47, "top": 77.83, "right": 260.57, "bottom": 177.44},
                    "person": 0,
                }
            ],
            "instances": [
                {
                    "label": "person",
                    "label_id": 0,
                    "score": 0.5096,
                    "box": {"left": 69.0, "top": 19.0, "right": 411.0, "bottom": 437.0},
                    "area": 79121,
                    "mask": {"size": [440, 725], "counts": "]mi57^=5nD7Q8..."},
                }
            ],
            "people": [{"instance": 0, "face": 0, "mask": "MASK"}],
            "errors": [],
        }
    ],
    "models": {"mask_detection": "face_mask@1", "instance_segmentation": "solov2_people@1"},
    "request_id": "0a9d1c1e-6f0c-4a51-9f5b-7c4d8a2f3b60",
    "timing_ms": {
        "decode": 3.1,
        "mask_detection": {"queue": 0.4, "run": 58.2},
        "instance_segmentation": {"queue": 0.5, "run": 41.7},
        "total": 66.9,
    },
}
RESPONSES: Responses = {
    200: {
        "description": "The answer: JSON, or by Accept the annotated picture. A task that failed on a picture is named "
        "in the header X-Failed-Tasks.",
        "model": AnswerJson,
        "content": {
            JSON: {"example": EXAMPLE},
            "image/jpeg": {"schema": BINARY},
            "image/png": {"schema": BINARY},
        },
    },
    **refusals((406, *OF_PICTURES)),
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
    image = {"oneOf": [BASE64, JsonImage.model_json_schema()]}
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
        JSON: {"schema": body, "example": {"images": [PICTURE], "options": {"masks": "none"}}},
    }
    return {"parameters": parameters, "requestBody": {"required": True, "content": content}}
