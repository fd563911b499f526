"""What an ingress replica does, as Prometheus series of Ray Serve."""

import asyncio

from ray.serve.metrics import Counter, Gauge, Histogram

from serve_app.pipeline import Pipeline
from serve_app.seen import Seen

MILLISECONDS = [1.0, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 30000]
GAUGES_EVERY_S = 2.0
"""Ray collects what a process has measured every ten seconds, and forgets a gauge that was not set meanwhile."""


class ServeMetrics:
    """Ray puts ``ray_`` before each name, ``_total`` behind a counter's, and adds the tags deployment, replica and
    application."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        # Ray annotates tag_keys as a tuple of exactly one.
        self._request_ms = Histogram(
            "maskgraph_request_ms",
            "Milliseconds of a request with images, by outcome: answered, partly or refused.",
            MILLISECONDS,
            ("outcome",),
        )
        self._stage_ms = Histogram(
            "maskgraph_stage_ms",
            "Milliseconds of an image in a stage: turn, decode, resize, answer (of a branch), combine, write.",
            MILLISECONDS,
            ("stage", "task"),  # type: ignore[arg-type]
        )
        self._images = Counter("maskgraph_images", "Images of requests that were not refused.")
        self._failures = Counter(
            "maskgraph_failures",
            "Images, or branches of them, without an answer.",
            ("code", "task"),  # type: ignore[arg-type]
        )
        self._refused = Counter("maskgraph_refused", "Requests refused, by the code in their answer.", ("code",))
        self._in_flight = {
            name: Gauge(f"maskgraph_in_flight_{name}", f"{name.capitalize()} of requests taken and not answered yet.")
            for name in ("images", "pixels", "bytes")
        }
        self._wait_ms = Gauge(
            "maskgraph_expected_wait_ms",
            "Milliseconds until all that is taken has passed a stage, at the speed measured.",
            ("stage",),
        )
        self._ready = Gauge("maskgraph_branch_ready", "1 while a branch's replicas answer, else 0.", ("task",))

    def report(self, request: Seen) -> None:
        """A request has ended."""
        for stage, seconds, task in request.passages:
            self._stage_ms.observe(1000 * seconds, {"stage": stage, "task": task or ""})
        for code, task in request.failures:
            self._failures.inc(tags={"code": code, "task": task or ""})
        if request.refusal is not None:
            self._refused.inc(tags={"code": request.refusal})
        if request.images:
            self._request_ms.observe(1000 * request.seconds, {"outcome": request.outcome})
            if request.refusal is None:
                self._images.inc(request.images)

    def tell(self) -> None:
        """Set the gauges to what is so now."""
        admission = self._pipeline.admission
        for name, gauge in self._in_flight.items():
            gauge.set(getattr(admission, name))
        for stage, seconds in admission.expected_s().items():
            self._wait_ms.set(1000 * seconds, {"stage": stage})
        for task, ready in self._pipeline.ready().items():
            self._ready.set(int(ready), {"task": task})

    async def keep_telling(self) -> None:
        """Set the gauges again and again."""
        while True:
            self.tell()
            await asyncio.sleep(GAUGES_EVERY_S)
