import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from threading import Thread

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from deployments import tracing

CLIENT = f"00-{'a' * 32}-{'b' * 16}-01"
UNSAMPLED = f"00-{'c' * 32}-{'d' * 16}-00"


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    exported = InMemorySpanExporter()
    tracing.start_with(SimpleSpanProcessor(exported))
    yield exported
    tracing.stop()


def traceparent(span: ReadableSpan) -> str:
    return f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01"


def test_a_span_belongs_to_its_parent_and_gives_its_own_traceparent_on(exporter: InMemorySpanExporter) -> None:
    attributes: dict[str, str | int] = {"known": 1}
    with tracing.span("outer", CLIENT, "server", attributes) as outer, tracing.span("inner", outer) as inner:
        attributes["learned"] = "later"
    first, second = exporter.get_finished_spans()
    assert (first.name, second.name) == ("inner", "outer")
    assert second.parent is not None
    assert (f"{second.parent.trace_id:032x}", f"{second.parent.span_id:016x}") == ("a" * 32, "b" * 16)
    assert (traceparent(second), traceparent(first)) == (outer, inner)
    assert first.parent is not None
    assert first.parent.span_id == second.context.span_id
    assert second.attributes == {"known": 1, "learned": "later"}


@pytest.mark.parametrize("parent", [None, "nonsense", CLIENT.replace("a", "g")])
def test_without_a_sound_parent_a_trace_begins(exporter: InMemorySpanExporter, parent: str | None) -> None:
    with tracing.span("alone", parent):
        pass
    (span,) = exporter.get_finished_spans()
    assert span.parent is None


def test_what_raises_is_marked_without_its_words(exporter: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="private"), tracing.span("failed", None):
        raise ValueError("private")
    (span,) = exporter.get_finished_spans()
    assert not span.status.is_ok
    assert "private" not in span.to_json()


def test_a_batch_and_its_items_link_to_each_other(exporter: InMemorySpanExporter) -> None:
    with tracing.span("one", CLIENT) as one, tracing.span("other", None) as other:
        tracing.batch_ran("faces", [one, other], [0.5, 0.25], 0.125, {"batch": "replica-7"})
    spans = exporter.get_finished_spans()
    *items, batch = spans[:3]
    assert [span.name for span in items] == ["faces in a batch"] * 2
    assert (batch.name, batch.parent, batch.attributes) == ("faces batch", None, {"batch": "replica-7"})
    parents = [f"{span.parent.span_id:016x}" for span in items if span.parent]
    assert parents == [each.split("-")[2] for each in (one, other) if each]
    assert [link.context for link in batch.links] == [span.context for span in items]
    assert [link.context for span in items for link in span.links] == [batch.context] * 2
    durations = [(span.end_time or 0) - (span.start_time or 0) for span in (*items, batch)]
    assert durations == [625_000_000, 375_000_000, 125_000_000]


def test_a_batch_of_requests_that_are_not_sampled_is_not_traced(exporter: InMemorySpanExporter) -> None:
    tracing.batch_ran("faces", [UNSAMPLED, UNSAMPLED], [0.1, 0.1], 0.1, {})
    assert exporter.get_finished_spans() == ()


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, None),
        ({"OTEL_TRACES_EXPORTER": "none"}, None),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}, None),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "otlp_proto_http"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, "otlp_proto_http"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "otlp_proto_grpc"),
    ],
)
def test_the_exporter_of_the_environment(
    environment: dict[str, str], name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert tracing.exporter() == name


def test_spans_reach_a_collector_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    received: Queue[ExportTraceServiceRequest] = Queue()

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.put(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "photos")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        tracing.stop()
        tracing.start()
        try:
            with tracing.span("answer", CLIENT, attributes={"task": "mask_detection"}):
                pass
            (resource,) = received.get(timeout=20).resource_spans
        finally:
            tracing.stop()
            server.shutdown()
    names = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert names["service.name"] == "photos"
    ((span,),) = (scope.spans for scope in resource.scope_spans)
    assert span.name == "answer"
    assert f"{span.trace_id.hex()}-{span.parent_span_id.hex()}" in CLIENT


def test_an_exporter_that_is_not_installed_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "unheard-of")
    with pytest.raises(ImportError, match="unheard-of"):
        tracing.start()


@pytest.mark.parametrize(("exporter", "loaded"), [("none", False), ("console", True)])
def test_what_is_not_asked_for_is_not_loaded(exporter: str, loaded: bool) -> None:
    code = "import sys; from deployments import tracing; tracing.start(); print('opentelemetry' in sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command,
        env={"OTEL_TRACES_EXPORTER": exporter, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [str(loaded)], done.stderr


def test_without_tracing_the_parent_is_given_on() -> None:
    with tracing.span("nothing", CLIENT) as given:
        assert given == CLIENT
    tracing.batch_ran("nothing", [CLIENT], [0.0], 0.0, {})
