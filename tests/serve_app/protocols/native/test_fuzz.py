"""POST /analyze: whatever comes in is answered or refused, never a fault of ours."""

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serve_app.protocols.native.test_errors import PHOTO, json_body
from tests.serve_app.protocols.native.test_routes import b64

names = st.text(max_size=5) | st.sampled_from(
    [
        "images",
        "options",
        "b64",
        "name",
        "tasks",
        "mask_detection",
        "face_threshold",
        "mask_detection.face_threshold",
        "classes",
        "max_instances",
        "masks",
        "annotate",
        "timeout_s",
    ]
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.just(b64(PHOTO)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
nearly = st.fixed_dictionaries(
    {"images": st.lists(values, max_size=3) | values}, optional={"options": st.dictionaries(names, values, max_size=3)}
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=nearly | values)
async def test_any_json_is_answered_or_refused(client: httpx.AsyncClient, content: object) -> None:
    answer = await client.post("/analyze", **json_body(content))
    assert answer.status_code in (200, 400, 413, 504), answer.text
    assert answer.json().keys() == ({"error"} if answer.is_error else {"images", "models", "request_id", "timing_ms"})


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=60) | st.sampled_from([PHOTO, b"{}", b'{"images": ["AAAA"]}', b"--b--"]),
    content_type=st.sampled_from(
        ["application/json", "multipart/form-data; boundary=b", "image/png", "image/", "", "a/b;c", ";"]
    ),
    encoding=st.sampled_from(["", "gzip", "identity", "deflate"]),
    query=st.dictionaries(names, st.text(max_size=5), max_size=2),
)
async def test_any_bytes_are_answered_or_refused(
    client: httpx.AsyncClient, body: bytes, content_type: str, encoding: str, query: dict[str, str]
) -> None:
    headers = {"Content-Type": content_type, "Content-Encoding": encoding}
    answer = await client.post("/analyze", content=body, headers=headers, params=query)
    assert answer.status_code in (200, 400, 413, 415, 504), answer.text
