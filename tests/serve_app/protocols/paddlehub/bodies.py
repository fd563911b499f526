"""Bodies of PaddleHub's requests, and what every answer of theirs looks like."""

import base64
from typing import Any

import numpy as np
from fastapi import FastAPI

from serve_app.http.app import create_app
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.native import routes as native
from serve_app.protocols.paddlehub import routes as paddlehub
from tests.photos import jpeg, png
from tests.serve_app.conftest import HEIGHT, WIDTH

MASK = "/predict/pyramidbox_lite_server_mask"
MASK_1X = "/predict/image/pyramidbox_lite_server_mask"
SOLOV2 = "/predict/solov2"
Body = dict[str, Any]


def paddlehub_app(pipeline: Pipeline, limits: Limits) -> FastAPI:
    return create_app(pipeline, limits, [native.routes, paddlehub.routes], frozenset())


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def noise_jpeg(width: int, height: int) -> bytes:
    return jpeg(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


GOOD = b64(png(np.zeros((HEIGHT, WIDTH, 3), np.uint8)))
CUT = b64(noise_jpeg(40, 40)[:400])
JSON = {"Content-Type": "application/json"}
