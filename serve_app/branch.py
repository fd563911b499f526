"""One branch's call to its Serve deployment: transport, deadline, retry, failure as a value."""

import logging
import time
from typing import Any

import grpc  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray
from ray.exceptions import RayActorError, RayError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from deployments.calls import (
    REFUSALS,
    Answer,
    Call,
    CallExpired,
    OtherModel,
    Pixels,
    Refusal,
    ReplicaHung,
    ReplicaOverloaded,
)
from deployments.models.card import ModelCard
from deployments.shared_pixels import NotShared, PixelSharing, can_share
from serve_app.analysis import Failure
from serve_app.breaker import Breaker, BreakerOpen
from serve_app.pipeline import BranchFailed, ModelReplaced
from serve_app.pulse import Pulse

logger = logging.getLogger("ray.serve")

LARGEST_BY_VALUE = 7 * 512 * 1024
"""Bytes up to which pixels that cannot be shared travel inside the gRPC call; above, through the object store.

About where both cost the same, and below the 4 MiB that a replica takes in one message.
"""


class ServeBranch:
    """Calls a deployment; every way to fail becomes a BranchFailed that says which."""

    def __init__(self, handle: DeploymentHandle[Any], card: ModelCard, timeout_s: float = 30.0) -> None:
        """``timeout_s`` is what a request may take; half of it a branch may be silent, as while a replica starts."""
        self.card = card
        self.thresholds: dict[str, float] = {}
        self._by_reference = handle
        self._by_value = handle.options(_by_reference=False, request_serialization="pickle")
        self._sharing = PixelSharing() if can_share() else None
        """Until a replica says that it runs elsewhere."""
        self._pulse = Pulse(self._ask, timeout_s / 2, lambda: self._breaker.cut())
        self._breaker = Breaker(lambda: self._pulse.silent)

    async def __call__(self, image: NDArray[np.uint8], call: Call) -> Answer:
        """Answer for one prepared image, uint8 RGB [h, w, 3], within the call's deadline.

        Raises BranchFailed; ModelReplaced, with ``card`` the one to prepare the image for.
        """
        try:
            async with self._breaker.call(call.deadline - time.time()):
                answer = await self._call_again_if_lost(image, call)
        except (TimeoutError, CallExpired):
            raise self._failed("deadline_exceeded", "gave no answer before the deadline") from None
        except (BackPressureError, ReplicaOverloaded):
            raise self._failed("overloaded", "has too many requests waiting") from None
        except OtherModel as other:
            self.card = ModelCard.model_validate_json(other.card)
            raise ModelReplaced from None
        except BreakerOpen:
            raise self._failed("unavailable", "gives no answers at present") from None
        except (RayActorError, DeploymentUnavailableError):
            raise self._unavailable() from None
        except Exception as error:
            if isinstance(error, RayError) and not hasattr(error, "cause"):
                raise self._unavailable() from None
            logger.exception("request %s: %s failed", call.request_id, self.card.task)
            raise self._failed("internal", "failed on this image") from None
        self._pulse.heard()
        return answer

    def ready(self) -> bool:
        """Whether a replica answered lately."""
        return self._pulse.alive

    async def _ask(self) -> None:
        try:
            self.thresholds = await self._by_value.ready.remote()
        except (BackPressureError, ReplicaHung):
            raise TimeoutError from None  # busy, or not gone yet

    async def _call_again_if_lost(self, image: NDArray[np.uint8], call: Call) -> Answer:
        try:
            return await self._call(image, call)
        except RayActorError:
            self._pulse.lost()
            # The replica that had accepted the call died; Serve does not retry such calls, inference may be.
            logger.warning("request %s: %s is retried on another replica", call.request_id, self.card.task)
            return await self._call(image, call)

    async def _call(self, image: NDArray[np.uint8], call: Call) -> Answer:
        try:
            if self._sharing is not None:
                with self._sharing.shared(image) as pixels:
                    return await self._answer(self._by_value, pixels, call)
            if image.nbytes <= LARGEST_BY_VALUE:
                return await self._answer(self._by_value, image, call)
        except NotShared:
            logger.info("%s shares no memory with this ingress: pixels travel in messages", self.card.task)
            self._sharing = None
            return await self._call(image, call)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
            # An answer over RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH; the object store has no such limit.
            logger.warning("request %s: %s answers again, by reference", call.request_id, self.card.task)
        return await self._answer(self._by_reference, image, call)

    async def _answer(self, handle: DeploymentHandle[Any], pixels: Pixels, call: Call) -> Answer:
        answer: Answer | Refusal = await handle.remote(pixels, call)
        if isinstance(answer, REFUSALS):
            raise answer
        return answer

    def _unavailable(self) -> BranchFailed:
        self._breaker.failed()
        return self._failed("unavailable", "has no replica that can answer")

    def _failed(self, code: str, what: str) -> BranchFailed:
        return BranchFailed(Failure(code, f"{self.card.task} {what}", self.card.task))
