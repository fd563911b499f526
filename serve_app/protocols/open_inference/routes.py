"""The Open Inference Protocol V2 over REST, as Triton and KServe speak it.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

import gzip
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from serve_app.admission import Overloaded
from serve_app.http.bounded_json import parse_json
from serve_app.http.errors import STATUS_OF_FAILURE, RequestError, from_overload, noted
from serve_app.http.limits import read_body
from serve_app.http.openapi import document
from serve_app.http.prefix import path_below
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.open_inference.body import parse_body, write_body
from serve_app.protocols.open_inference.inference import (
    EXTENSIONS,
    INPUT,
    PLATFORM,
    SERVER_NAME,
    SERVER_VERSION,
    InferenceError,
    InferRequest,
    OpenInference,
)
from serve_app.protocols.open_inference.openapi import operations
from serve_app.protocols.open_inference.refusal import refusal
from serve_app.protocols.open_inference.tensors import IMAGES, TensorSpec, output_specs
from serve_app.traceparent import well_formed

logger = logging.getLogger("ray.serve")

ROOT = "/v2"
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
STATUS = {**STATUS_OF_FAILURE, "bad_request": 400, "not_found": 404, "answer_too_large": 400}
JSON_LENGTH = "Inference-Header-Content-Length"
LEAST_GZIPPED = 1000
MAX_QUESTION_BYTES = 64 * 1024
"""Of a body that holds no image."""

Endpoint = Callable[[OpenInference, Request, str, str], Awaitable[Response]]
"""Answers a request, given the model and version that its path names, or empty strings."""


def routes(pipeline: Pipeline, limits: Limits) -> APIRouter:
    """All under ``/v2``, with and without a slash at the end: server, health, models, ``infer``, Triton's extensions.

    Every error is ``{"error": message}``.
    """
    router = APIRouter()
    service = OpenInference(pipeline, limits)

    async def answer(request: Request) -> Response:
        try:
            return await _dispatch(service, request)
        except InferenceError as error:
            status = STATUS[error.code]
            retry_after_s = 1 if status == 503 else None
            return refusal(noted(RequestError(status, error.code, error.message, retry_after_s=retry_after_s)))
        except RequestError as error:
            return refusal(noted(error))
        except Overloaded as overloaded:
            return refusal(noted(from_overload(overloaded)))
        except ClientDisconnect:
            raise
        except Exception:
            logger.exception("request %s failed", request.state.request_id)
            return json_response({"error": "the service failed on this request"}, 500)

    document(router, answer, operations(pipeline.branches))
    # The same with a slash at the end and below versions, and refusals of all else.
    for path in (ROOT, f"{ROOT}/{{rest:path}}"):
        router.add_route(path, answer, methods=METHODS, include_in_schema=False)
    return router


async def _dispatch(service: OpenInference, request: Request) -> Response:
    rest = path_below(request.scope, ROOT).removesuffix("/")
    for pattern, method, endpoint in ENDPOINTS:
        match = pattern.fullmatch(rest)
        if match is None:
            continue
        if request.method.replace("HEAD", "GET") != method:
            message = f"{request.method[:20]} is not allowed on /v2{rest[:200]}; use {method}"
            return json_response({"error": message}, 405, {"Allow": method})
        names = match.groupdict(default="")
        if "model" in names:
            service.version(names["model"], names["version"])
        return await endpoint(service, request, names.get("model", ""), names.get("version", ""))
    raise RequestError(404, "not_found", f"there is no /v2{rest[:200]} here")


async def _server(service: OpenInference, request: Request, model: str, version: str) -> Response:
    return json_response({"name": SERVER_NAME, "version": SERVER_VERSION, "extensions": EXTENSIONS})


async def _live(service: OpenInference, request: Request, model: str, version: str) -> Response:
    return json_response({"live": True})


async def _ready(service: OpenInference, request: Request, model: str, version: str) -> Response:
    ready = service.ready()
    return json_response({"ready": ready}, 200 if ready else 503)


async def _models(service: OpenInference, request: Request, model: str, version: str) -> Response:
    return json_response({"models": list(service.models)})


async def _model_ready(service: OpenInference, request: Request, model: str, version: str) -> Response:
    ready = service.ready(model)
    return json_response({"name": model, "ready": ready}, 200 if ready else 503)


async def _model(service: OpenInference, request: Request, model: str, version: str) -> Response:
    return json_response(
        {
            "name": model,
            "versions": [service.version(model)],
            "platform": PLATFORM,
            "inputs": [_tensor_metadata(INPUT, IMAGES)],
            "outputs": [_tensor_metadata(name, spec) for name, spec in output_specs(service.models[model]).items()],
            "properties": service.properties(model),
        }
    )


def _tensor_metadata(name: str, spec: TensorSpec) -> dict[str, Any]:
    return {"name": name, "datatype": spec.datatype, "shape": spec.shape}


async def _config(service: OpenInference, request: Request, model: str, version: str) -> Response:
    return json_response(
        {
            "name": model,
            "platform": PLATFORM,
            "backend": "",
            "max_batch_size": 0,
            "input": [_tensor_config(INPUT, IMAGES)],
            "output": [_tensor_config(name, spec) for name, spec in output_specs(service.models[model]).items()],
        }
    )


def _tensor_config(name: str, spec: TensorSpec) -> dict[str, Any]:
    return {"name": name, "data_type": spec.config_type, "dims": spec.shape}


async def _statistics(service: OpenInference, request: Request, model: str, version: str) -> Response:
    stats = []
    for name, statistics in service.statistics(model, version).items():
        numbers = asdict(statistics)
        counts = {key: numbers.pop(key) for key in ("last_inference", "inference_count", "execution_count")}
        nothing = {"count": 0, "ns": 0}
        durations = {**numbers, "cache_hit": nothing, "cache_miss": nothing}
        stats.append(
            {"name": name, "version": service.version(name), **counts, "inference_stats": durations, "batch_stats": []}
        )
    return json_response({"model_stats": stats})


async def _repository(service: OpenInference, request: Request, model: str, version: str) -> Response:
    """The models; with ``{"ready": true}`` only those that are ready."""
    body = await read_body(request, replace(service.limits, max_body_bytes=MAX_QUESTION_BYTES))
    content = parse_json(body or b"{}")
    if not isinstance(content, dict) or not isinstance(content.get("ready", False), bool):
        raise RequestError(400, "bad_request", 'the body must be an object; its "ready" is true or false')
    index = [
        {"name": name, "version": service.version(name), "state": state, "reason": ""}
        for name, state in (service.states()).items()
        if state == "READY" or not content.get("ready", False)
    ]
    return json_response(index)


async def _infer(service: OpenInference, request: Request, model: str, version: str) -> Response:
    length = request.headers.get(JSON_LENGTH)
    if length is not None and not re.fullmatch("[0-9]{1,18}", length):
        raise RequestError(400, "bad_request", f"{JSON_LENGTH} is not a number of bytes")
    service.pipeline.check_room(request.state.arrived)
    data = await read_body(request, service.limits)
    on_thread = service.pipeline.on_thread
    body = await on_thread(parse_body, data, None if length is None else int(length), model, service)
    del data  # its images are read; the answer may be long in coming
    infer = InferRequest(
        model,
        body.images,
        body.outputs,
        body.parameters,
        request.state.request_id,
        well_formed(request.headers.get("traceparent")),
        request.state.arrived,
        version,
    )
    ran, tensors = await service.infer(infer)
    answer = {"model_name": model, "model_version": ran}
    if body.client_id is not None:
        answer["id"] = body.client_id
    content, json_length = await on_thread(write_body, answer, tensors, body)
    headers = {"Vary": "Accept-Encoding"}
    if json_length is not None:
        headers[JSON_LENGTH] = str(json_length)
    if len(content) >= LEAST_GZIPPED and _accepts_gzip(request.headers.getlist("accept-encoding")):
        content = await on_thread(gzip.compress, content, 1)
        headers["Content-Encoding"] = "gzip"
    return Response(
        content, headers=headers, media_type="application/json" if json_length is None else "application/octet-stream"
    )


def _accepts_gzip(headers: Sequence[str]) -> bool:
    for offer in ",".join(headers).lower().split(","):
        coding, _, quality = offer.partition(";")
        if coding.strip() == "gzip":
            return re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", quality) is None
    return False


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Any content of Python values."""
    return Response(orjson.dumps(content), status, headers, media_type="application/json")


MODEL = r"/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?"
ENDPOINTS: Sequence[tuple[re.Pattern[str], str, Endpoint]] = [
    (re.compile(""), "GET", _server),
    (re.compile("/health/live"), "GET", _live),
    (re.compile("/health/ready"), "GET", _ready),
    (re.compile("/models"), "GET", _models),
    (re.compile("/models/stats"), "GET", _statistics),
    (re.compile("/repository/index"), "POST", _repository),
    (re.compile(MODEL), "GET", _model),
    (re.compile(f"{MODEL}/ready"), "GET", _model_ready),
    (re.compile(f"{MODEL}/config"), "GET", _config),
    (re.compile(f"{MODEL}/stats"), "GET", _statistics),
    (re.compile(f"{MODEL}/infer"), "POST", _infer),
]
