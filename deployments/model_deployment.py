"""What the model deployments share: a model card's model as a Serve replica."""

import os
from typing import ClassVar

from ray import serve

from deployments import tracing
from deployments.autoscaling import BUSY, COST_S
from deployments.batching.metrics import ServeBatchMetrics
from deployments.batching.work import WorkMeter
from deployments.calls import REFUSALS, Answer, Call, Pixels, Refusal
from deployments.engines.precision import Precision
from deployments.engines.settings import EngineName
from deployments.models.card import Task
from deployments.models.device import DeviceSetting, choose_device
from deployments.models.load import load
from deployments.replica import Replica

# Calls beyond two full batches wait at the caller, where the router can still send them to another replica.
# A replica that died is noticed by its next check; three in a row that fail end one that lives.
model_deployment = serve.deployment(
    max_ongoing_requests=32, max_queued_requests=256, health_check_period_s=1, health_check_timeout_s=60
)


NICENESS = 5
"""By which a model's threads on the CPU give way to what hands them photos and refuses too many: docs/decisions.md."""


class ModelDeployment(Replica):
    """Loads the model of its ``task`` from a card, and reports its batches as metrics."""

    task: ClassVar[Task]

    def __init__(
        self,
        card: str,
        device: DeviceSetting = "auto",
        threads: int | None = None,
        precision: Precision = "float32",
        engine: EngineName = "auto",
    ) -> None:
        tracing.start()
        if choose_device(device).type == "cpu" and hasattr(os, "nice"):
            os.nice(NICENESS)  # on Linux of this thread and of all that it starts
        model = load(card, self.task, device, threads, precision, engine)
        self.work = WorkMeter(model.lanes)
        name = serve.get_replica_context().replica_tag
        told = {"model": model.card.name, "version": model.card.version, "precision": precision}
        self.metrics = ServeBatchMetrics(self.task, name, {**told, "device": model.device.type})
        super().__init__(model, self.metrics, name)
        self.measure_batches()
        if model.device.type == "cuda":
            self.warm_up()

    async def __call__(self, pixels: Pixels, call: Call) -> Answer | Refusal:  # type: ignore[override]
        """As a replica answers, and measured. A refusal comes back as a value: Serve logs what is raised as a failure,
        with its traceback, and a deadline that has passed or a full queue is none."""
        try:
            with self.work.item():
                return await super().__call__(pixels, call)
        except REFUSALS as refusal:
            return refusal.with_traceback(None)

    async def check_health(self) -> None:
        """As a replica's; Serve asks every few seconds."""
        self.metrics.tell_again()
        await super().check_health()

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Serve asks this now and then, for the policy ``deployments.autoscaling.by_work``."""
        return {BUSY: self.work.busy(), COST_S: self.work.cost_s()}
