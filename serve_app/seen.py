"""What is seen of a request: what became of it and where its time went. Its line in the log, its metrics, its span.

Never what is in its pictures: no query, and no words of a refusal, which may repeat what a client sent.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from deployments import tracing

if TYPE_CHECKING:  # Serve's proxies import this module, and need nothing of models
    from deployments.models.card import Task

logger = logging.getLogger("ray.serve")

PROBING = ("GET", "HEAD")
"""Methods of probes and pages, which would drown the photos among the spans."""


class Passage(NamedTuple):
    """One image's way through one stage; only a branch's stages have a task."""

    stage: str
    seconds: float
    task: "Task | None"


@dataclass(slots=True)
class Seen:
    """One request, HTTP or gRPC."""

    request_id: str
    method: str
    """The HTTP method, or the name of the gRPC call."""
    traceparent: str | None = None
    """The client's, then that of the request's own span."""
    path: str = ""
    """As it came, without a query."""
    status: str = ""
    images: int = 0
    passages: list[Passage] = field(default_factory=list)
    batches: list[str] = field(default_factory=list)
    failures: "list[tuple[str, Task | None]]" = field(default_factory=list)
    """Of images, or of single branches: code and task."""
    refusal: str | None = None
    """The code, if the whole request was refused."""
    started: float = field(default_factory=time.monotonic)
    analysed: float | None = None
    """When all that remained was to write the answer."""
    seconds: float = 0.0

    @contextmanager
    def stage(self, stage: str, task: "Task | None" = None) -> Iterator[str | None]:
        """One image passes a stage, which is a span; gives that one's ``traceparent``."""
        started = time.monotonic()
        try:
            with tracing.span(f"{task} {stage}" if task else stage, self.traceparent) as traceparent:
                yield traceparent
        finally:
            self.passages.append(Passage(stage, time.monotonic() - started, task))

    def passed(self, stage: str, seconds: float) -> None:
        """One image has passed a stage."""
        self.passages.append(Passage(stage, seconds, None))

    @property
    def outcome(self) -> str:
        """``answered``, ``partly`` where something failed, or ``refused``."""
        if self.refusal is not None:
            return "refused"
        return "partly" if self.failures else "answered"

    def fields(self) -> dict[str, Any]:
        """What the log holds of it beside its message."""
        slowest: dict[str, float] = {}
        for stage, seconds, task in self.passages:
            name = f"{task}_{stage}" if task else stage
            slowest[name] = max(slowest.get(name, 0.0), round(1000 * seconds, 2))
        told: dict[str, Any] = {"status": self.status, "images": self.images, "ms": round(1000 * self.seconds, 2)}
        if slowest:
            told |= {"slowest_ms": slowest, "batches": self.batches}
        if self.failures:
            told["failures"] = [f"{task}: {code}" if task else code for code, task in self.failures]
        if self.refusal is not None:
            told["code"] = self.refusal
        return told


_current: ContextVar[Seen] = ContextVar("seen")


def seen() -> Seen:
    """The request that this code works for; outside of one, something to forget."""
    return _current.get(None) or Seen("", "")


@contextmanager
def watched(request: Seen, report: Callable[[Seen], None]) -> Iterator[Seen]:
    """A request from its arrival to its end, which is then logged, in one line, and reported."""
    token = _current.set(request)
    try:
        attributes: dict[str, str | int] = {"request_id": request.request_id, "path": request.path}
        span: AbstractContextManager[str | None] = nullcontext(request.traceparent)
        if request.method not in PROBING:
            span = tracing.span(request.method, request.traceparent, "server", attributes)
        with span as traceparent:
            request.traceparent = traceparent
            try:
                yield request
            finally:
                _end(request)
                attributes |= {"status": request.status, "images": request.images, "outcome": request.outcome}
    finally:
        _current.reset(token)
        report(request)
        _log(request)


def _end(request: Seen) -> None:
    now = time.monotonic()
    request.seconds = now - request.started
    if request.analysed is not None:
        request.passed("write", now - request.analysed)


def _log(request: Seen) -> None:
    # Probes and pages would drown the photos.
    level = logging.INFO if request.images or request.refusal else logging.DEBUG
    if logger.isEnabledFor(level):
        words = [request.method, request.path, request.status, request.refusal, f"in {1000 * request.seconds:.0f} ms"]
        # Serve's own key: into the replica's file alone. Ray would carry each line to the console of who started it.
        fields = {"request_id": request.request_id, "log_to_stderr": False, **request.fields()}
        logger.log(level, "%s", " ".join(filter(None, words)), extra=fields)
