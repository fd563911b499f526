"""A batcher's metrics as Prometheus series of Ray Serve, and its spans."""

from collections.abc import Mapping, Sequence
from typing import Literal

from ray.serve.metrics import Counter, Gauge, Histogram

from deployments import tracing
from deployments.batching.observer import BatchObserver
from deployments.calls import Item

MILLISECONDS = [1.0, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 30000]
IMAGES = [1.0, 2, 4, 8, 16, 32, 64, 128]


class ServeBatchMetrics(BatchObserver):
    """Of a batcher of Items, tagged with the task. Ray puts ``ray_`` before each name, ``_total`` behind a counter's,
    and adds the tags deployment, replica and application when this is constructed in a replica."""

    def __init__(self, task: str, name: str, model: Mapping[str, str]) -> None:
        """``name`` is the replica's; ``model`` says what runs here: model, version, device, precision."""
        self._task = task
        self._name = name
        self._length = 0
        self._queue_length = Gauge("maskgraph_batch_queue_length", "Items that wait for a batch.", ("task",))
        self._wait_ms = Histogram(
            "maskgraph_batch_wait_ms", "Milliseconds from an item's arrival to its run.", MILLISECONDS, ("task",)
        )
        self._run_ms = Histogram("maskgraph_batch_run_ms", "Milliseconds of a batch's run.", MILLISECONDS, ("task",))
        self._finish_ms = Histogram(
            "maskgraph_finish_ms", "Milliseconds from an item's raw result to its answer.", MILLISECONDS, ("task",)
        )
        self._size = Histogram("maskgraph_batch_size", "Items in a batch.", IMAGES, ("task",))
        # Ray annotates tag_keys as a tuple of exactly one.
        self._dropped = Counter(
            "maskgraph_batch_dropped",
            "Items not answered: cancelled, expired or rejected.",
            ("task", "reason"),  # type: ignore[arg-type]
        )
        self._failed = Counter(
            "maskgraph_batch_failed",
            "Items answered with an error.",
            ("task", "error"),  # type: ignore[arg-type]
        )
        self._model = Gauge(
            "maskgraph_model",
            "1 for the model that a replica runs.",
            ("task", *model),  # type: ignore[arg-type]
        )
        for metric in (
            self._queue_length,
            self._wait_ms,
            self._run_ms,
            self._finish_ms,
            self._size,
            self._dropped,
            self._failed,
        ):
            metric.set_default_tags({"task": task})
        self._model.set_default_tags({"task": task, **model})

    def tell_again(self) -> None:
        """Ray forgets a gauge that was not set for some ten seconds."""
        self._queue_length.set(self._length)
        self._model.set(1)

    def queue_changed(self, length: int) -> None:
        # Told with the next health check: setting a gauge costs more than the queue does.
        self._length = length

    def batch_ran(self, batch: int, items: Sequence[Item], waits_s: Sequence[float], run_s: float) -> None:
        for wait_s in waits_s:
            self._wait_ms.observe(1000 * wait_s)
        self._run_ms.observe(1000 * run_s)
        self._size.observe(len(waits_s))
        attributes: tracing.Attributes = {
            "batch": f"{self._name}-{batch}",
            "images": len(items),
            "replica": self._name,
        }
        tracing.batch_ran(self._task, [item.call.traceparent for item in items], waits_s, run_s, attributes)

    def finished(self, seconds: float) -> None:
        self._finish_ms.observe(1000 * seconds)

    def dropped(self, reason: Literal["cancelled", "expired", "rejected"]) -> None:
        self._dropped.inc(tags={"reason": reason})

    def failed(self, error: BaseException) -> None:
        self._failed.inc(tags={"error": type(error).__name__})
