"""No request of Roboflow's makes the service fail."""

import json

from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serve_app.conftest import client_of
from tests.serve_app.protocols.roboflow.bodies import FACES, FACES_ID, GOOD, INSTANCES, INSTANCES_ID, picture

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
PICTURES = st.just(picture(GOOD)) | st.fixed_dictionaries(
    {"type": st.sampled_from(["base64", "url"]), "value": JSON_VALUES}
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "model_id": st.sampled_from([FACES_ID, INSTANCES_ID]) | JSON_VALUES,
        "image": PICTURES | st.lists(PICTURES, max_size=2) | JSON_VALUES,
        "confidence": st.floats(0, 1) | JSON_VALUES,
        "class_filter": st.lists(st.text()) | JSON_VALUES,
        "max_detections": st.integers() | JSON_VALUES,
        "visualize_predictions": st.booleans() | JSON_VALUES,
    },
)
FUZZ = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(st.sampled_from([FACES, INSTANCES, "/model/add"]), FIELDS | JSON_VALUES)
async def test_any_json_gets_an_answer_or_a_message(app: FastAPI, path: str, content: object) -> None:
    async with client_of(app) as client:
        answer = await client.post(path, content=json.dumps(content))
    assert answer.status_code in (200, 400, 404, 413)
    assert answer.status_code == 200 or answer.json().keys() == {"message"}


@FUZZ
@given(
    st.sampled_from([FACES, INSTANCES, f"/{FACES_ID}", f"/{INSTANCES_ID}"]),
    st.binary(max_size=300),
    st.sampled_from(["application/json", "multipart/form-data; boundary=x"]),
    st.dictionaries(st.sampled_from(["confidence", "format", "max_detections", "classes"]), st.text(max_size=8)),
)
async def test_any_bytes_get_an_answer_or_a_message(
    app: FastAPI, path: str, content: bytes, media_type: str, query: dict[str, str]
) -> None:
    body = b"--x\r\n" + content if "boundary" in media_type else content
    async with client_of(app) as client:
        answer = await client.post(path, params=query, content=body, headers={"Content-Type": media_type})
    assert answer.status_code == 400
    assert answer.json().keys() == {"message"}
