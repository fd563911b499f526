"""What the OpenAPI document says of ``/v1/models``."""

from collections.abc import Iterable, Iterator

from deployments.models.card import Task
from serve_app.http.openapi import (
    ERROR,
    OBJECT,
    OF_KEYS,
    OF_PICTURES,
    PICTURE,
    Operation,
    answers,
    in_path,
    json_body,
    refusals,
)
from serve_app.protocols.served_models import served_models

PICTURES = {"type": "array", "minItems": 1, "items": {"type": "object", "properties": {"b64": {"type": "string"}}}}
PREDICT = {
    "description": "Exactly one of `instances`, answered by `predictions`, a row a picture, and `inputs`, answered by "
    "`outputs`, a column an output.",
    "type": "object",
    "properties": {
        "instances": {**PICTURES, "description": 'Each `{"b64"}`, `{"image": {"b64"}}` or pixels [H][W][3], 0 to 255.'},
        "inputs": {"description": "The same, or an object of `images` and options."},
        "parameters": {"type": "object", "description": "Options, and `output_filter`, a list of output names."},
        "signature_name": {"type": "string", "description": "Changes nothing: there is one."},
    },
}


def operations(tasks: Iterable[Task]) -> Iterator[Operation]:
    """Those of a service of these tasks."""
    models = served_models(tasks)
    first = next(iter(models))
    of_model = {"parameters": [in_path("model", models)]}
    of_models = refusals((*OF_KEYS, 404), ERROR)
    version = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    status = {"name": first, "ready": True, "model_version_status": [version]}
    metadata = {"model_spec": {"name": first, "signature_name": "", "version": "1"}, "metadata": {}}
    row = {"detection_class_names": ["MASK"], "detection_scores": [0.9772], "num_detections": 1.0}
    body = json_body(PREDICT, {"instances": [{"b64": PICTURE}]})
    yield Operation(
        "/v1/models",
        "GET",
        "KServe V1: models",
        {},
        {**answers({"models": list(models)}), **refusals(OF_KEYS, ERROR)},
    )
    yield Operation(
        "/v1/models/{model}",
        "GET",
        "KServe V1 and TensorFlow Serving: a model's state and version",
        of_model,
        {**answers(status), **of_models, 503: {**answers(status)[200], "description": "It is not ready"}},
    )
    yield Operation(
        "/v1/models/{model}/metadata",
        "GET",
        "TensorFlow Serving: inputs and outputs",
        of_model,
        {**answers(metadata), **of_models},
    )
    yield Operation(
        "/v1/models/{model}:predict",
        "POST",
        "KServe V1 and TensorFlow Serving: predict",
        {**of_model, **body},
        {**answers({"predictions": [row]}, OBJECT), **refusals((*OF_PICTURES, 404), ERROR)},
    )
