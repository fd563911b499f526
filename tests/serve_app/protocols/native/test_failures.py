"""POST /analyze where a branch fails, is overloaded or late: what the client is told, and what is not lost."""

import asyncio
from collections.abc import Callable

import httpx
import pytest

from serve_app.http.app import create_app
from serve_app.pipeline import Pipeline
from serve_app.protocols.native import routes as native
from tests.serve_app.conftest import LIMITS, FakeBranch, client_of
from tests.serve_app.protocols.native.test_routes import PNG, answer_of, b64


@pytest.mark.parametrize("code", ["overloaded", "unavailable", "deadline_exceeded", "internal"])
async def test_one_failed_branch_is_an_entry(
    client: httpx.AsyncClient, photo: bytes, faces: FakeBranch, instances: FakeBranch, code: str
) -> None:
    faces.fail(code)
    (image,) = (await answer_of(client, content=photo, headers=PNG))["images"]
    assert image["errors"] == [{"code": code, "message": f"mask_detection is {code}", "task": "mask_detection"}]
    assert len(image["instances"]) == 2
    assert image["people"] == [{"instance": 1, "face": None, "mask": None}]


@pytest.mark.parametrize(
    ("codes", "status"),
    [
        (("overloaded", "overloaded"), 503),
        (("unavailable", "deadline_exceeded"), 503),
        (("deadline_exceeded", "overloaded"), 503),
        (("deadline_exceeded", "deadline_exceeded"), 504),
        (("internal", "deadline_exceeded"), 500),
        (("internal", "unavailable"), 500),
    ],
)
@pytest.mark.parametrize("accept", ["application/json", "image/jpeg"])
async def test_both_branches_failed(
    client: httpx.AsyncClient,
    photo: bytes,
    faces: FakeBranch,
    instances: FakeBranch,
    codes: tuple[str, str],
    status: int,
    accept: str,
) -> None:
    faces.fail(codes[0])
    instances.fail(codes[1])
    answer = await client.post("/analyze", content=photo, headers={**PNG, "Accept": accept})
    assert answer.status_code == status
    assert answer.json()["error"]["code"] in codes
    assert ("retry-after" in answer.headers) == (status == 503)


async def test_the_only_branch_asked_failed(client: httpx.AsyncClient, photo: bytes, faces: FakeBranch) -> None:
    faces.fail("overloaded")
    answer = await client.post("/analyze", content=photo, headers=PNG, params={"tasks": "mask_detection"})
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_failure_outweighs_unreadable_neighbours(
    client: httpx.AsyncClient, photo: bytes, faces: FakeBranch, instances: FakeBranch
) -> None:
    faces.fail("unavailable")
    instances.fail("unavailable")
    answer = await client.post("/analyze", json={"images": ["AAAA", b64(photo)]})
    assert (answer.status_code, answer.json()["error"]["image"]) == (503, 2)


async def test_both_branches_late(
    client: httpx.AsyncClient, photo: bytes, faces: FakeBranch, instances: FakeBranch
) -> None:
    faces.gate = instances.gate = asyncio.Event()
    answer = await client.post("/analyze", content=photo, headers=PNG, params={"timeout_s": "0.05"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_exceeded")
    assert (faces.cancelled, instances.cancelled) == (len(faces.calls), len(instances.calls))


async def test_one_branch_late(client: httpx.AsyncClient, photo: bytes, faces: FakeBranch) -> None:
    faces.gate = asyncio.Event()
    (image,) = (await answer_of(client, content=photo, headers=PNG, params={"timeout_s": "0.5"}))["images"]
    assert [error["code"] for error in image["errors"]] == ["deadline_exceeded"]
    assert len(image["instances"]) == 2


async def test_writing_the_answer_has_an_end(
    make_pipeline: Callable[..., Pipeline], photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = make_pipeline(timeout_s=0.3)
    written = asyncio.Event()

    async def stuck(*_: object) -> bytes:
        await written.wait()
        return b""

    monkeypatch.setattr("serve_app.protocols.native.routes.write_answer", stuck)
    async with client_of(create_app(pipeline, LIMITS, [native.routes], frozenset())) as client:
        answer = await client.post("/analyze", content=photo, headers=PNG)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_exceeded")
