from collections.abc import AsyncIterator

import httpx
import pytest

from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from tests.serve_app.conftest import client_of
from tests.serve_app.protocols.kserve.bodies import kserve_app


@pytest.fixture
async def client(pipeline: Pipeline, limits: Limits) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(kserve_app(pipeline, limits)) as made:
        yield made
