import pytest
from fastapi import FastAPI

from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from tests.serve_app.protocols.paddlehub.bodies import paddlehub_app


@pytest.fixture
def app(pipeline: Pipeline, limits: Limits) -> FastAPI:
    return paddlehub_app(pipeline, limits)
