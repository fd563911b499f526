"""No request of KServe's makes the service fail."""

import base64
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serve_app.protocols.kserve.bodies import ANALYZE, FACES, INSTANCES, predictions

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just({"b64": "iVBORw0KGgo="}),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["instances", "inputs", "images", "image", "b64", "parameters", "output_filter", "classes"])
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=JSON, parameters=JSON, by_column=st.booleans())
async def test_no_json_is_a_fault_of_ours(
    client: httpx.AsyncClient, items: Any, parameters: Any, by_column: bool
) -> None:
    content = json.dumps({"inputs" if by_column else "instances": items, "parameters": parameters}).encode()
    answer = await client.post(f"{INSTANCES}:predict", content=content)
    assert answer.status_code in (200, 400, 413)
    assert list(answer.json()) in (["error"], ["predictions"], ["outputs"])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=80))
async def test_no_bytes_are_a_fault_of_ours(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post(f"{ANALYZE}:predict", content=body)
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize(
    "instance",
    [
        lambda file: {"key": "1", "image": file},
        lambda file: {"image": {**file, "key": 7}},
        lambda file: {**file, "key": None},
    ],
)
@pytest.mark.parametrize("signature", [None, "", "serving_default", "predict_images"])
async def test_what_other_models_take_is_ignored(
    client: httpx.AsyncClient, photo: bytes, instance: Callable[[Any], Any], signature: str | None
) -> None:
    item = instance({"b64": base64.b64encode(photo).decode()})
    (found,) = await predictions(client, FACES, {"instances": [item], "signature_name": signature})
    assert found["detection_class_names"] == ["MASK"]
