"""No request over REST makes the Open Inference Protocol fail."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serve_app.conftest import client_of
from tests.serve_app.protocols.open_inference.bodies import LENGTH, is_error

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
async def fuzzed(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as made:
        yield made


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    request=st.fixed_dictionaries(
        {},
        optional={
            "id": JSON_VALUES,
            "parameters": JSON_VALUES | st.dictionaries(st.sampled_from(["face_threshold", "classes"]), JSON_VALUES),
            "outputs": JSON_VALUES,
            "inputs": JSON_VALUES
            | st.lists(
                st.fixed_dictionaries(
                    {"name": st.just("images")},
                    optional={
                        "datatype": st.sampled_from(["BYTES", "UINT8"]) | JSON_VALUES,
                        "shape": st.lists(st.integers(-2, 5), max_size=5) | JSON_VALUES,
                        "data": JSON_VALUES,
                        "parameters": JSON_VALUES | st.fixed_dictionaries({"binary_data_size": st.integers(-5, 50)}),
                    },
                ),
                max_size=2,
            ),
        },
    ),
    tail=st.binary(max_size=20),
    slip=st.integers(-3, 3),
)
async def test_no_request_makes_the_service_fail(
    fuzzed: httpx.AsyncClient, request: dict[str, Any], tail: bytes, slip: int
) -> None:
    head = json.dumps(request).encode()
    headers = {LENGTH: str(max(0, len(head) + slip))}
    response = await fuzzed.post("/v2/models/analyze/infer", content=head + tail, headers=headers)
    assert response.status_code == 400
    assert is_error(response)
