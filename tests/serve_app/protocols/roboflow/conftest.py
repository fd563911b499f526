import pytest
from fastapi import FastAPI

from serve_app.http.app import create_app
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.native import routes as native
from serve_app.protocols.roboflow import routes as roboflow


@pytest.fixture
def app(pipeline: Pipeline, limits: Limits, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    return create_app(pipeline, limits, [native.routes, roboflow.routes], frozenset())
