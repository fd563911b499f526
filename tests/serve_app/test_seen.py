import asyncio
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from deployments import tracing
from serve_app.analysis import AnalyzeRequest, EncodedImage
from serve_app.http.app import create_app
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.native import routes as native
from serve_app.seen import Seen, seen, watched
from tests.serve_app.conftest import FakeBranch, client_of

PNG = {"Content-Type": "image/png"}


@pytest.fixture
def ended() -> list[Seen]:
    """The requests that were reported."""
    return []


@pytest.fixture
def app(pipeline: Pipeline, limits: Limits, ended: list[Seen]) -> FastAPI:
    return create_app(pipeline, limits, [native.routes], frozenset(), report=ended.append)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    """A function that gives what was logged of the service, a line each."""
    caplog.set_level(logging.INFO, "ray.serve")
    return lambda: [vars(record) for record in caplog.records if record.name == "ray.serve"]


async def test_an_answer_is_one_line_with_its_stages_and_batches(
    app: FastAPI, photo: bytes, ended: list[Seen], lines: Callable[[], list[dict[str, Any]]]
) -> None:
    async with client_of(app) as client:
        await client.post("/analyze?masks=none", content=photo, headers={**PNG, "X-Request-ID": "mine"})
    (request,) = ended
    assert (request.status, request.images, request.outcome) == ("200", 1, "answered")
    stages = {(stage, task) for stage, _, task in request.passages}
    assert stages == {
        ("turn", None),
        ("decode", None),
        ("resize", "mask_detection"),
        ("resize", "instance_segmentation"),
        ("answer", "mask_detection"),
        ("answer", "instance_segmentation"),
        ("combine", None),
        ("write", None),
    }
    assert all(0 <= seconds <= request.seconds for _, seconds, _ in request.passages)
    (line,) = lines()
    assert line["msg"] % line["args"] == f"POST /analyze 200 in {1000 * request.seconds:.0f} ms"
    assert (line["request_id"], line["status"], line["images"]) == ("mine", "200", 1)
    assert line["slowest_ms"].keys() >= {"decode", "mask_detection_answer", "write"}
    assert line["batches"] == ["fake-1", "fake-1"]


async def test_a_refusal_is_one_line_without_a_traceback(
    app: FastAPI, photo: bytes, ended: list[Seen], lines: Callable[[], list[dict[str, Any]]]
) -> None:
    refused = {
        "unsupported_format": {"url": "/analyze", "content": b"no picture", "headers": PNG},
        "bad_option": {"url": "/analyze?masks=secret-words", "content": photo, "headers": PNG},
        "not_found": {"url": "/nowhere", "content": b""},
    }
    async with client_of(app) as client:
        for request in refused.values():
            await client.post(**request)  # type: ignore[arg-type]
    assert [request.refusal for request in ended] == list(refused)
    assert [line["code"] for line in lines()] == list(refused)
    assert [line["exc_info"] for line in lines()] == [None] * len(refused)
    assert "secret-words" not in str(lines())


async def test_a_fault_of_ours_is_a_traceback_and_a_line(
    app: FastAPI, photo: bytes, faces: FakeBranch, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    faces.error = RuntimeError("at fault")
    async with client_of(app) as client:
        await client.post("/analyze", content=photo, headers=PNG)
    fault, line = lines()
    assert fault["exc_info"] is not None
    assert (line["exc_info"], line["status"], line["code"]) == (None, "500", "internal")


async def test_a_branch_that_failed_is_in_the_line(
    app: FastAPI, photo: bytes, instances: FakeBranch, ended: list[Seen], lines: Callable[[], list[dict[str, Any]]]
) -> None:
    instances.fail("unavailable")
    async with client_of(app) as client:
        await client.post("/analyze", content=photo, headers=PNG)
    assert ended[0].outcome == "partly"
    assert lines()[0]["failures"] == ["instance_segmentation: unavailable"]


async def test_probes_and_pages_leave_no_line(
    app: FastAPI, ended: list[Seen], lines: Callable[[], list[dict[str, Any]]]
) -> None:
    async with client_of(app) as client:
        for path in ("/livez", "/readyz", "/", "/models"):
            assert (await client.get(path)).status_code == httpx.codes.OK
    assert len(ended) == 4
    assert lines() == []


async def test_no_path_breaks_a_line(app: FastAPI, lines: Callable[[], list[dict[str, Any]]]) -> None:
    async with client_of(app) as client:
        await client.get("/x%0AINFO%20forged/%C3%A9" + "y" * 1000)
    (line,) = lines()
    said = line["msg"] % line["args"]
    assert "\n" not in said
    assert len(said) < 300


async def test_requests_at_once_are_seen_apart(ended: list[Seen]) -> None:
    async def one(name: str) -> None:
        with watched(Seen(name, "POST"), ended.append):
            for _ in range(3):
                await asyncio.sleep(0)
                with seen().stage(name):
                    await asyncio.sleep(0)

    await asyncio.gather(one("a"), one("b"))
    assert {request.request_id: [passage.stage for passage in request.passages] for request in ended} == {
        "a": ["a"] * 3,
        "b": ["b"] * 3,
    }
    assert seen().passages == []


async def test_a_client_that_leaves_is_seen_as_such(
    pipeline: Pipeline, photo: bytes, faces: FakeBranch, ended: list[Seen]
) -> None:
    faces.gate = asyncio.Event()

    async def ask() -> None:
        with watched(Seen("an-id", "ModelInfer", status="CANCELLED"), ended.append):
            await pipeline.analyze(AnalyzeRequest([EncodedImage(photo)], "an-id"))

    asked = asyncio.create_task(ask())
    await faces.entered.wait()
    asked.cancel()
    await asyncio.wait([asked])
    assert [request.status for request in ended] == ["CANCELLED"]


async def test_spans_lead_from_the_client_over_stages_to_the_branches(
    app: FastAPI, photo: bytes, faces: FakeBranch, instances: FakeBranch
) -> None:
    exported = InMemorySpanExporter()
    tracing.start_with(SimpleSpanProcessor(exported))
    try:
        async with client_of(app) as client:
            await client.get("/readyz")
            given = f"00-{'a' * 32}-{'b' * 16}-01"
            await client.post("/analyze", content=photo, headers={**PNG, "traceparent": given, "X-Request-ID": "mine"})
    finally:
        tracing.stop()
    spans = {span.name: span for span in exported.get_finished_spans()}
    request = spans.pop("POST")
    assert request.parent is not None
    assert f"{request.context.trace_id:032x}-{request.parent.span_id:016x}" == f"{'a' * 32}-{'b' * 16}"
    told = {"request_id": "mine", "path": "/analyze", "status": "200", "images": 1, "outcome": "answered"}
    assert request.attributes == told
    assert spans.keys() == {
        "decode",
        "combine",
        *(f"{task} {stage}" for task in ("mask_detection", "instance_segmentation") for stage in ("resize", "answer")),
    }
    assert {span.parent.span_id for span in spans.values() if span.parent} == {request.context.span_id}
    for branch in (faces, instances):
        context = spans[f"{branch.card.task} answer"].context
        assert branch.calls[0].traceparent == f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
