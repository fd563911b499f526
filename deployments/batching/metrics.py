"""A batcher's metrics as Prometheus series of Ray Serve."""

from collections.abc import Sequence
from typing import Literal

from ray.serve.metrics import Counter, Gauge, Histogram

from deployments.batching.observer import BatchObserver

MILLISECONDS = [1.0, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 30000]
IMAGES = [1.0, 2, 4, 8, 16, 32, 64, 128]


class ServeBatchMetrics(BatchObserver):
    """Tagged with the task. Ray puts ``ray_`` before each name, ``_total`` behind a counter's, and adds the tags
    deployment, replica and application when this is constructed in a replica."""

    def __init__(self, task: str) -> None:
        self._queue_length = Gauge("maskgraph_batch_queue_length", "Items that wait for a batch.", ("task",))
        self._wait_ms = Histogram(
            "maskgraph_batch_wait_ms", "Milliseconds from an item's arrival to its run.", MILLISECONDS, ("task",)
        )
        self._run_ms = Histogram("maskgraph_batch_run_ms", "Milliseconds of a batch's run.", MILLISECONDS, ("task",))
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
        for metric in (self._queue_length, self._wait_ms, self._run_ms, self._size, self._dropped, self._failed):
            metric.set_default_tags({"task": task})

    def queue_changed(self, length: int) -> None:
        self._queue_length.set(length)

    def batch_ran(self, waits_s: Sequence[float], run_s: float) -> None:
        for wait_s in waits_s:
            self._wait_ms.observe(1000 * wait_s)
        self._run_ms.observe(1000 * run_s)
        self._size.observe(len(waits_s))

    def dropped(self, reason: Literal["cancelled", "expired", "rejected"]) -> None:
        self._dropped.inc(tags={"reason": reason})

    def failed(self, error: BaseException) -> None:
        self._failed.inc(tags={"error": type(error).__name__})
