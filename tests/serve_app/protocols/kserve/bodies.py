"""Paths and bodies of KServe's requests, and how they are refused."""

from typing import Any

import httpx
from fastapi import FastAPI

from serve_app.http.arrival import Arrival
from serve_app.http.request_id import RequestId
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.kserve import routes as kserve

FACES = "/v1/models/mask_detection"
INSTANCES = "/v1/models/instance_segmentation"
ANALYZE = "/v1/models/analyze"


def kserve_app(pipeline: Pipeline, limits: Limits) -> FastAPI:
    app = FastAPI()
    app.include_router(kserve.routes(pipeline, limits))
    app.add_middleware(Arrival, limits=limits)
    app.add_middleware(RequestId)
    return app


async def predictions(client: httpx.AsyncClient, model: str, body: Any) -> Any:
    answer = await client.post(f"{model}:predict", json=body)
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["predictions"]
    return answer.json()["predictions"]
