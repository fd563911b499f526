"""What the OpenAPI document says of PaddleHub's routes; refusals are HTTP 200 with a status of their own in it."""

from typing import Any

from serve_app.http.openapi import BINARY, OF_KEYS, PICTURE, Responses, answers, json_body, refusals

ENVELOPE = {
    "type": "object",
    "properties": {"msg": {"type": "string"}, "results": {}, "status": {"type": "string"}, "error": {"type": "string"}},
}
FACE = {"label": "MASK", "confidence": 0.9772, "left": 173, "top": 77, "right": 260, "bottom": 177}
TRUE_STATUSES = refusals((408, 429, 503), ENVELOPE)
MODULES: Responses = {
    **answers({"module_info": {"cv_module": [{"Choose...": "Choose..."}, {"solov2": "solov2"}]}}),
    **refusals(OF_KEYS),
}
ANSWER: Responses = {
    **answers({"msg": "", "results": [{"data": [FACE], "path": "ndarray_time=1.0"}], "status": "000"}, ENVELOPE),
    **refusals((400,), ENVELOPE),
    **refusals((401, 500)),
    **TRUE_STATUSES,
}
ANSWER_OF_1X: Responses = {
    **answers({"msg": "", "results": "[{'data': [], 'path': '', 'id': 1}]", "status": "0"}, ENVELOPE),
    **refusals((401, 500)),
    **TRUE_STATUSES,
}
BODY = json_body(
    {
        "type": "object",
        "required": ["images"],
        "properties": {
            "images": {"type": "array", "items": {"type": "string", "format": "byte"}},
            "confs_threshold": {"type": "number", "description": "Of pyramidbox_lite_server_mask."},
            "use_multi_scale": {"type": "boolean", "description": "Of pyramidbox_lite_server_mask."},
            "threshold": {"type": "number", "description": "Of solov2."},
        },
    },
    {"images": [PICTURE]},
)
FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"image": {"type": "array", "items": BINARY}}}
            },
            "application/x-www-form-urlencoded": {
                "schema": {"type": "object", "properties": {"data": {"type": "string"}}},
                "example": {"data": f'{{"b64s": ["{PICTURE}"]}}'},
            },
        },
    }
}
