from typing import Any

import numpy as np
import pytest
from ray.util import metrics

from deployments.batching.metrics import ServeBatchMetrics
from deployments.calls import Call, Item, MaskDetectionOptions


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float, dict[str, str]]]:
    """(name, value, tags) of every point, in order."""
    points: list[tuple[str, float, dict[str, str]]] = []

    def record(metric: Any, value: float, tags: dict[str, str] | None = None) -> None:
        points.append((metric.info["name"], value, {**metric.info["default_tags"], **(tags or {})}))

    monkeypatch.setattr(metrics.Metric, "_record", record)
    return points


MODEL = {"model": "face_mask", "version": "1", "precision": "float32", "device": "cpu"}


def item(traceparent: str | None = None) -> Item:
    call = Call(1, 1, MaskDetectionOptions(), deadline=0.0, request_id="an-id", traceparent=traceparent)
    return Item(np.zeros((1, 1, 3), np.uint8), call)


def test_a_batchers_events_become_series_of_its_task(recorded: list[tuple[str, float, dict[str, str]]]) -> None:
    observer = ServeBatchMetrics("mask_detection", "replica", MODEL)
    observer.batch_ran(1, [item(), item()], [0.25, 0.5], 0.125)
    observer.finished(0.0625)
    observer.dropped("expired")
    observer.failed(ValueError("not for the label"))
    task = {"task": "mask_detection"}
    assert recorded == [
        ("maskgraph_batch_wait_ms", 250.0, task),
        ("maskgraph_batch_wait_ms", 500.0, task),
        ("maskgraph_batch_run_ms", 125.0, task),
        ("maskgraph_batch_size", 2, task),
        ("maskgraph_finish_ms", 62.5, task),
        ("maskgraph_batch_dropped", 1.0, {**task, "reason": "expired"}),
        ("maskgraph_batch_failed", 1.0, {**task, "error": "ValueError"}),
    ]


def test_gauges_are_told_now_and_then(recorded: list[tuple[str, float, dict[str, str]]]) -> None:
    observer = ServeBatchMetrics("mask_detection", "replica", MODEL)
    observer.queue_changed(3)
    assert recorded == []
    observer.tell_again()
    assert recorded == [
        ("maskgraph_batch_queue_length", 3, {"task": "mask_detection"}),
        ("maskgraph_model", 1, {"task": "mask_detection", **MODEL}),
    ]


def test_every_tag_of_a_series_is_declared() -> None:
    # Ray itself refuses a point with a missing or undeclared tag.
    observer = ServeBatchMetrics("instance_segmentation", "replica", MODEL)
    observer.queue_changed(0)
    observer.tell_again()
    observer.batch_ran(1, [], [], 0.0)
    observer.finished(0.0)
    observer.dropped("cancelled")
    observer.failed(MemoryError())
    with pytest.raises(ValueError, match="reason"):
        observer._dropped.inc()
