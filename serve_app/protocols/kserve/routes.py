"""KServe's V1 protocol and TensorFlow Serving's REST API, which share their paths: answers hold the union of both.

KServe: https://kserve.github.io/website/latest/modelserving/data_plane/v1_protocol/
TensorFlow Serving: https://www.tensorflow.org/tfx/serving/api_rest
"""

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from fastapi import APIRouter
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from serve_app.analysis import AnalyzeRequest, ImageAnalysis
from serve_app.http.errors import RequestError, from_failures, refusals_as
from serve_app.http.limits import read_body
from serve_app.http.openapi import document
from serve_app.http.prefix import path_below
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.detections import AnswerTooLarge, columns, lengths, pictures
from serve_app.protocols.kserve.openapi import operations
from serve_app.protocols.kserve.refusal import refusal
from serve_app.protocols.kserve.request import PredictBody, parse
from serve_app.protocols.served_models import LABEL, PICTURE, SIGNATURE, ServedModel, TensorSpec, served_models
from serve_app.traceparent import well_formed

ROOT = "/v1/models"
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
METHOD_OF_VERB = {"": "GET", "/metadata": "GET", ":predict": "POST"}
PATH = re.compile(r"/([^/:]+)(?:/versions/([0-9]{1,18})|/labels/([^/:]+))?(/metadata|:[A-Za-z]+)?")


def routes(pipeline: Pipeline, limits: Limits) -> APIRouter:
    """All under ``/v1/models``: the list, a model's status, ``/metadata``, ``:predict``, and their versions and labels.

    Every error is ``{"error": message}``.
    """
    router = APIRouter()

    @refusals_as(refusal)
    async def answer(request: Request) -> Response:
        return await _dispatch(request, pipeline, limits)

    document(router, answer, operations(pipeline.branches))
    # The same below versions and labels, and refusals of all else.
    for path in (ROOT, f"{ROOT}/{{rest:path}}"):
        router.add_route(path, answer, methods=METHODS, include_in_schema=False)
    return router


async def _dispatch(request: Request, pipeline: Pipeline, limits: Limits) -> Response:
    rest = path_below(request.scope, ROOT) or "/"
    match = PATH.fullmatch(rest)
    verb = match[4] or "" if match else ""
    if (match is None and rest != "/") or verb not in METHOD_OF_VERB:
        raise RequestError(404, "not_found", f"Malformed request: {request.method[:20]} /v1/models{rest[:200]}")
    wanted = METHOD_OF_VERB[verb]
    if request.method.replace("HEAD", "GET") != wanted:
        message = f"{request.method[:20]} is not allowed on /v1/models{rest[:200]}; use {wanted}"
        return json_response({"error": message}, 405, {"Allow": wanted})
    if match is None:
        return json_response({"models": list(served_models(pipeline.branches))})
    model = _model(pipeline, match[1], match[2], match[3])
    if verb == ":predict":
        return await _predict(request, pipeline, limits, model)
    return _metadata(pipeline, model) if verb else _status(pipeline, model)


def _model(pipeline: Pipeline, name: str, version: str | None, label: str | None) -> ServedModel:
    models = served_models(pipeline.branches)
    if name not in models:
        message = f"Model with name {name[:100]} does not exist. Models: {', '.join(models)}"
        raise RequestError(404, "not_found", message)
    present = models[name].version(pipeline.cards)
    if version is not None and int(version) != present:
        message = f"Could not find version {version} of model {name}; its version is {present}"
        raise RequestError(404, "not_found", message)
    if label is not None and label != LABEL:
        message = f"Unrecognized servable version label: {label[:100]}; the label is {LABEL}"
        raise RequestError(400, "bad_request", message)
    return models[name]


def _status(pipeline: Pipeline, model: ServedModel) -> Response:
    """KServe's readiness and TensorFlow Serving's versions; 503 where no replica answers, as KServe."""
    ready = all(pipeline.branches[task].ready() for task in model.tasks)
    version = {
        "version": str(model.version(pipeline.cards)),
        "state": "AVAILABLE" if ready else "LOADING",
        "status": {"error_code": "OK", "error_message": ""},
    }
    content: dict[str, Any] = {"name": model.name, "ready": ready, "model_version_status": [version]}
    if not ready:
        content["error"] = f"Model with name {model.name} is not ready."
    return json_response(content, 200 if ready else 503)


def _metadata(pipeline: Pipeline, model: ServedModel) -> Response:
    version = str(model.version(pipeline.cards))
    signature = {
        "inputs": {name: _tensor_info(name, spec) for name, spec in model.inputs().items()},
        "outputs": {name: _tensor_info(name, spec) for name, spec in model.outputs().items()},
        "method_name": "tensorflow/serving/predict",
    }
    return json_response(
        {
            "model_spec": {"name": model.name, "signature_name": "", "version": version},
            "metadata": {"signature_def": {"signature_def": {SIGNATURE: signature}}},
        }
    )


def _tensor_info(name: str, spec: TensorSpec) -> dict[str, Any]:
    shape = {"dim": [{"size": str(size), "name": ""} for size in spec.shape], "unknown_rank": False}
    return {"dtype": spec.dtype, "tensor_shape": shape, "name": f"{name}:0"}


async def _predict(request: Request, pipeline: Pipeline, limits: Limits, model: ServedModel) -> Response:
    pipeline.check_room(request.state.arrived)
    data = await read_body(request, limits)
    body = await pipeline.on_thread(parse, data, model, limits, pipeline.labels)
    analyze = AnalyzeRequest(
        body.images,
        request.state.request_id,
        body.options,
        well_formed(request.headers.get("traceparent")),
        arrived=request.state.arrived,
    )
    analysis = await pipeline.analyze(analyze)
    found = analysis.images
    for number, image in enumerate(found, 1):
        if image.errors:
            raise from_failures(image.errors, number)
    try:
        made = await pipeline.on_thread(columns, model, found, analysis.labels, body.wanted)
        drawn = await pictures(pipeline, analyze, found) if PICTURE in body.wanted else None
    except AnswerTooLarge as error:
        raise RequestError(400, "answer_too_large", str(error)) from None
    return await pipeline.on_thread(_answer, model, body, found, made, drawn)


def _answer(
    model: ServedModel,
    body: PredictBody,
    found: Sequence[ImageAnalysis],
    made: Mapping[str, NDArray[Any]],
    drawn: Sequence[bytes] | None,
) -> Response:
    """Columns with zeros where images have fewer detections than others, or a row an image, each of its own length.

    Of a single output only the value is sent, as TensorFlow Serving does.
    """
    outputs: dict[str, Any] = {name: made[name] for name in body.wanted if name in made}
    if drawn is not None:
        outputs[PICTURE] = [{"b64": base64.b64encode(picture).decode("ascii")} for picture in drawn]
    only = body.wanted[0] if len(body.wanted) == 1 else None
    if body.by_column:
        return json_response({"outputs": outputs[only] if only else outputs})
    rows = []
    for index, image in enumerate(found):
        length = lengths(model, image)
        row = {
            name: column[index][: length[name]] if name in length else column[index] for name, column in outputs.items()
        }
        rows.append(row[only] if only else row)
    return json_response({"predictions": rows})


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Any content of Python values and arrays."""
    data = orjson.dumps(content, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(data, status, headers, media_type="application/json")


def _plain(value: object) -> Any:
    """What orjson does not write by itself: arrays of strings and of objects, and views that are not contiguous."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON")
