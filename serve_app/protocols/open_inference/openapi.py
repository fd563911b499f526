"""What the OpenAPI document says of ``/v2``."""

from collections.abc import Iterable, Iterator

from deployments.models.card import Task
from serve_app.http.openapi import (
    BINARY,
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
from serve_app.protocols.open_inference.inference import EXTENSIONS, PLATFORM, SERVER_NAME, SERVER_VERSION
from serve_app.protocols.served_models import served_models

INFER = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string", "description": "Comes back."},
        "parameters": {"type": "object", "description": "Options."},
        "inputs": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "description": "`images`: BYTES [N], picture files in base64, or UINT8 [N, H, W, 3].",
            "items": OBJECT,
        },
        "outputs": {"type": "array", "items": OBJECT, "description": "By `name`; by default all but `dense_masks`."},
    },
}
INPUT = {"name": "images", "datatype": "BYTES", "shape": [1]}
OUTPUT = {"name": "labels", "datatype": "BYTES", "shape": [1], "data": ["MASK"]}
NOT_READY = "It is not ready"


def operations(tasks: Iterable[Task]) -> Iterator[Operation]:
    """Those of a service of these tasks."""
    models = served_models(tasks)
    first = next(iter(models))
    named = {"name": first, "platform": PLATFORM}
    count = {"count": 1, "ns": 1000}
    stats = {
        "model_stats": [{"name": first, "version": "1", "inference_count": 1, "inference_stats": {"success": count}}]
    }
    index = [{"name": first, "version": "1", "state": "READY", "reason": ""}]
    of_model = {"parameters": [in_path("model", models)]}
    of_models = refusals((*OF_KEYS, 404), ERROR)
    with_key = refusals(OF_KEYS, ERROR)
    server = {"name": SERVER_NAME, "version": SERVER_VERSION, "extensions": EXTENSIONS}
    yield Operation("/v2", "GET", "Open Inference V2: the server", {}, {**answers(server), **with_key})
    yield Operation("/v2/health/live", "GET", "Open Inference V2: whether it answers", {}, answers({"live": True}))
    yield Operation(
        "/v2/health/ready",
        "GET",
        "Open Inference V2: whether every model answers",
        {},
        {**answers({"ready": True}), 503: {**answers({"ready": False})[200], "description": NOT_READY}},
    )
    yield Operation(
        "/v2/models", "GET", "Open Inference V2: models", {}, {**answers({"models": list(models)}), **with_key}
    )
    yield Operation("/v2/models/stats", "GET", "Triton: statistics of every model", {}, {**answers(stats), **with_key})
    yield Operation(
        "/v2/repository/index",
        "POST",
        "Triton: models and their states",
        json_body({"type": "object", "properties": {"ready": {"type": "boolean"}}}, {"ready": True}),
        {**answers(index, {"type": "array", "items": OBJECT}), **refusals((400, 401, 408, 413, 415, 429, 500), ERROR)},
    )
    yield Operation(
        "/v2/models/{model}",
        "GET",
        "Open Inference V2: inputs and outputs",
        of_model,
        {**answers({**named, "versions": ["1"], "inputs": [INPUT], "outputs": []}), **of_models},
    )
    yield Operation(
        "/v2/models/{model}/ready",
        "GET",
        "Open Inference V2: whether a model answers",
        of_model,
        {
            **answers({"name": first, "ready": True}),
            **of_models,
            503: {**answers({"name": first, "ready": False})[200], "description": NOT_READY},
        },
    )
    yield Operation(
        "/v2/models/{model}/config",
        "GET",
        "Triton: configuration",
        of_model,
        {**answers({**named, "backend": "", "max_batch_size": 0, "input": [], "output": []}), **of_models},
    )
    yield Operation("/v2/models/{model}/stats", "GET", "Triton: statistics", of_model, {**answers(stats), **of_models})
    body = json_body(INFER, {"inputs": [{**INPUT, "data": [PICTURE]}]})
    body["requestBody"]["content"]["application/octet-stream"] = {"schema": BINARY}
    length = {
        "name": "Inference-Header-Content-Length",
        "in": "header",
        "description": "Bytes of JSON before the binary tensors; 0 where the body is one picture file.",
        "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
    }
    answer = answers({"model_name": first, "model_version": "1", "outputs": [OUTPUT]})
    answer[200]["content"]["application/octet-stream"] = {"schema": BINARY}
    yield Operation(
        "/v2/models/{model}/infer",
        "POST",
        "Open Inference V2: infer",
        {"parameters": [*of_model["parameters"], length], **body},
        {**answer, **refusals((*OF_PICTURES, 404), ERROR)},
    )
