"""No request of PaddleHub's makes the service fail."""

import json

from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serve_app.conftest import client_of
from tests.serve_app.protocols.paddlehub.bodies import GOOD, JSON, MASK, MASK_1X, SOLOV2

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.just(GOOD),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
ARGUMENTS = st.dictionaries(
    st.sampled_from(["images", "confs_threshold", "threshold", "shrink", "visualization", "paths", "batch_size"]),
    JSON_VALUES | st.lists(st.just(GOOD), max_size=2),
)
FUZZ = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(st.sampled_from([MASK, SOLOV2]), ARGUMENTS | JSON_VALUES)
async def test_any_json_gets_the_envelope(app: FastAPI, path: str, content: object) -> None:
    async with client_of(app) as client:
        answer = await client.post(path, content=json.dumps(content), headers=JSON)
    assert answer.status_code in (200, 400)
    assert answer.json().keys() == {"msg", "results", "status"}
    assert answer.json()["status"] in ("000", "101", "112")


@FUZZ
@given(
    st.sampled_from([MASK, SOLOV2, MASK_1X]),
    st.binary(max_size=300),
    st.sampled_from(["application/json", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", ""]),
)
async def test_any_bytes_get_the_envelope(app: FastAPI, path: str, content: bytes, media_type: str) -> None:
    body = b"--x\r\n" + content if "boundary" in media_type else content
    async with client_of(app) as client:
        answer = await client.post(path, content=body, headers={"Content-Type": media_type})
    assert answer.status_code in (200, 400)
    assert answer.json().keys() == {"msg", "results", "status"}


@FUZZ
@given(JSON_VALUES | st.fixed_dictionaries({"b64s": JSON_VALUES | st.lists(st.just(GOOD), max_size=2)}))
async def test_any_data_of_1x_gets_the_envelope(app: FastAPI, content: object) -> None:
    async with client_of(app) as client:
        answer = await client.post(MASK_1X, data={"data": json.dumps(content)})
    assert answer.status_code == 200
    assert answer.json()["status"] in ("0", "-1")
