"""Spans for OpenTelemetry, where its standard variables name an exporter; else nothing, and nothing of it is loaded.

``OTEL_TRACES_EXPORTER``, or an ``OTEL_EXPORTER_OTLP_ENDPOINT``, switches it on. OpenTelemetry's SDK itself reads the
others: ``OTEL_SERVICE_NAME``, ``OTEL_TRACES_SAMPLER``, ``OTEL_EXPORTER_OTLP_HEADERS``, ``OTEL_BSP_*``.

A span travels between processes as a W3C ``traceparent``: https://www.w3.org/TR/trace-context/
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span, Tracer

Kind = Literal["internal", "server", "client"]
Attributes = Mapping[str, str | int | float]

_tracer: "Tracer | None" = None


def exporter() -> str | None:
    """The exporter that the environment asks for, by its name among OpenTelemetry's entry points; None for none."""
    name = os.environ.get("OTEL_TRACES_EXPORTER", "")
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if not name and any(os.environ.get(endpoint) for endpoint in endpoints):
        name = "otlp"
    if name in ("", "none") or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if name == "otlp":
        protocol = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        return "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
    return name


def start() -> None:
    """Trace from now on, if the environment asks for it. Raises ImportError where what it asks for is not installed."""
    name = exporter()
    if name is None or _tracer is not None:
        return
    found = next(iter(entry_points(group="opentelemetry_traces_exporter", name=name)), None)
    if found is None:
        raise ImportError(f"no OpenTelemetry exporter {name!r} is installed: pip install 'maskgraph[tracing]'")
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    start_with(BatchSpanProcessor(found.load()()))


def start_with(processor: "SpanProcessor") -> None:
    """Trace from now on, to this processor."""
    from opentelemetry.sdk.trace import TracerProvider

    global _tracer
    provider = TracerProvider()
    provider.add_span_processor(processor)
    _tracer = provider.get_tracer("maskgraph")


def stop() -> None:
    """Trace no more."""
    global _tracer
    _tracer = None


@contextmanager
def span(
    name: str, parent: str | None, kind: Kind = "internal", attributes: Attributes | None = None
) -> Iterator[str | None]:
    """A span around what happens inside, and its ``traceparent``; ``parent`` is the one that it belongs to.

    ``attributes`` are read at its end, so that what happens inside may add to them. One that ends by an exception is
    marked so, without what the exception says. Without tracing the parent is given on.
    """
    if _tracer is None:
        yield parent
        return
    from opentelemetry.trace import SpanKind, StatusCode

    made = _tracer.start_span(name, _context(parent), SpanKind[kind.upper()])
    try:
        yield _traceparent(made)
    except BaseException:
        made.set_status(StatusCode.ERROR)
        raise
    finally:
        made.set_attributes({} if attributes is None else attributes)
        made.end()


def batch_ran(
    name: str, parents: Sequence[str | None], waits_s: Sequence[float], run_s: float, attributes: Attributes
) -> None:
    """Spans of a batch that has just run: one of its own, and in each item's trace one from its arrival to now.

    A batch belongs to several requests, so its span is the child of none; it links to each of the others, and they to
    it. ``waits_s`` are the items' seconds before the run. Not traced where no request of the batch is sampled.
    """
    if _tracer is None:
        return
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, get_current_span

    now, second = time.time_ns(), 1_000_000_000
    started = now - int(run_s * second)
    contexts = [_context(parent) for parent in parents]
    if not any(get_current_span(context).get_span_context().trace_flags.sampled for context in contexts):
        return
    items = [
        _tracer.start_span(
            f"{name} in a batch", context, start_time=started - int(wait_s * second), attributes=attributes
        )
        for context, wait_s in zip(contexts, waits_s, strict=True)
    ]
    links = [Link(item.get_span_context()) for item in items]
    batch = _tracer.start_span(f"{name} batch", Context(), links=links, start_time=started, attributes=attributes)
    for item in items:
        item.add_link(batch.get_span_context())
        item.end(now)
    batch.end(now)


def _context(traceparent: str | None) -> "Context":
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    # Never the process's current context: who calls is said by the traceparent alone.
    return TraceContextTextMapPropagator().extract({"traceparent": traceparent} if traceparent else {}, Context())


def _traceparent(made: "Span") -> str:
    context = made.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
