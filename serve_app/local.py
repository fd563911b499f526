"""The graph in one process, without Ray: the same pipeline, replicas and models, called directly."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from deployments.calls import Answer, Call, CallExpired, ReplicaOverloaded
from deployments.models.card import Task
from deployments.models.load import load
from deployments.replica import Replica
from serve_app.analysis import Failure
from serve_app.pipeline import Branch, BranchFailed, Pipeline
from serve_app.settings import Settings


class LocalBranch:
    """A replica in this process; what its model raises is not hidden."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.card = replica.model.card

    async def __call__(self, image: NDArray[np.uint8], call: Call) -> Answer:
        """Answer for one prepared image, uint8 RGB [h, w, 3]."""
        try:
            return await self.replica(image, call)
        except CallExpired as error:
            raise BranchFailed(Failure("deadline_exceeded", str(error), self.card.task)) from error
        except ReplicaOverloaded as error:
            raise BranchFailed(Failure("overloaded", str(error), self.card.task)) from error

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Those of the replica's settings."""
        return self.replica.settings.thresholds

    def ready(self) -> bool:
        """A replica is warm once it is constructed."""
        return True


def build_local(settings: Settings) -> Pipeline:
    """Load the models here. Raises ValueError for a model card that is wrong."""
    branches: dict[Task, Branch] = {
        task: LocalBranch(
            Replica(load(card, task, settings.device, settings.threads, settings.precision, settings.engine))
        )
        for task, card in settings.cards().items()
    }
    return Pipeline(
        branches,
        max_pixels=settings.max_pixels,
        timeout_s=settings.timeout_s,
        decode_threads=settings.decode_threads,
        capacity=settings.capacity,
    )
