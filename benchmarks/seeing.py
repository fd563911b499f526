"""What a photo's log line, metrics and spans cost: ``python -m benchmarks.seeing``, in a replica of Ray Serve.

Walks the records of one photo as the ingress and both models keep them, without the photo. CPU of the whole process.
"""

import time
from collections.abc import Callable

import numpy as np
from ray import serve
from rich.console import Console
from rich.table import Table

from deployments.batching.metrics import ServeBatchMetrics
from deployments.calls import Call, Item, MaskDetectionOptions
from deployments.models.card import Task
from serve_app.admission import Capacity
from serve_app.metrics import ServeMetrics
from serve_app.pipeline import Pipeline
from serve_app.seen import Seen, watched

ROUNDS = 5000
TASKS: tuple[Task, ...] = ("mask_detection", "instance_segmentation")
MODEL = {"model": "any", "version": "1", "precision": "float32", "device": "cpu"}


def photo(report: Callable[[Seen], None]) -> None:
    """What the ingress keeps of one."""
    request = Seen("an-id", "POST", None, "/analyze", images=1)
    with watched(request, report):
        request.passed("turn", 0.001)
        for stage in ("decode", "combine"):
            with request.stage(stage):
                pass
        for task in TASKS:
            for stage in ("resize", "answer"):
                with request.stage(stage, task):
                    pass
            request.batches.append("replica-1")
        request.status, request.analysed = "200", time.monotonic()


def batch(metrics: ServeBatchMetrics, item: Item) -> None:
    """What a replica keeps of a batch of one."""
    metrics.queue_changed(1)
    metrics.batch_ran(1, [item], [0.01], 0.04)
    metrics.finished(0.005)
    metrics.queue_changed(0)


def cpu_ms(work: Callable[[], None]) -> float:
    """Milliseconds that a call costs, threads that work for it included."""
    work()
    started = time.process_time()
    for _ in range(ROUNDS):
        work()
    return 1000 * (time.process_time() - started) / ROUNDS


@serve.deployment(ray_actor_options={"num_cpus": 0.1})
class Cost:
    """Measures in a process with Serve's logger and metrics."""

    async def __call__(self) -> dict[str, float]:
        """Milliseconds of CPU a photo, by part."""
        pipeline = Pipeline({}, max_pixels=1, timeout_s=1.0, decode_threads=1, capacity=Capacity())
        counted = ServeMetrics(pipeline).report
        batches = ServeBatchMetrics(TASKS[0], "replica", MODEL)
        call = Call(1, 1, MaskDetectionOptions(), deadline=0.0, request_id="an-id")
        item = Item(np.zeros((1, 1, 3), np.uint8), call)
        line = cpu_ms(lambda: photo(lambda request: None))
        both = cpu_ms(lambda: photo(counted))
        models = cpu_ms(lambda: batch(batches, item)) * len(TASKS)
        return {"ingress: records and log line": line, "ingress: metrics": both - line, "both models": models}


def main() -> None:
    """Print the table."""
    handle = serve.run(Cost.bind(), name="cost", route_prefix=None, logging_config={"encoding": "JSON"})  # type: ignore[attr-defined]
    try:
        costs = handle.remote().result()
    finally:
        serve.shutdown()
    table = Table("part", "CPU ms a photo")
    for part, milliseconds in {**costs, "sum": sum(costs.values())}.items():
        table.add_row(part, f"{milliseconds:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
