from collections.abc import Sequence
from typing import Any

import grpc  # type: ignore[import-untyped]
import numpy as np
import pytest

from deployments.calls import Answer, Call, MaskDetectionOptions
from deployments.models.card import card_path, read_card
from serve_app.branch import LARGEST_BY_VALUE, ServeBranch
from serve_app.pipeline import BranchFailed

CALL = Call(480, 640, MaskDetectionOptions(), deadline=float("inf"), request_id="test")
ANSWER = Answer((), 0.0, 0.0)


class Handle:
    """Stands for a deployment's handle: remembers how each call travelled, and answers or raises in turn."""

    def __init__(self, outcomes: Sequence[Answer | Exception]) -> None:
        self.outcomes = list(outcomes)
        self.travelled: list[str] = []
        self.way = "by reference"

    def options(self, *, _by_reference: bool, **_: Any) -> "Handle":
        other = Handle(())
        other.outcomes, other.travelled = self.outcomes, self.travelled
        other.way = "by reference" if _by_reference else "by value"
        return other

    async def remote(self, image: np.ndarray, call: Call) -> Answer:
        self.travelled.append(self.way)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def rpc_error(code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(
        code, grpc.aio.Metadata(), grpc.aio.Metadata(), details="Received message larger than max"
    )


def branch(handle: Handle) -> ServeBranch:
    return ServeBranch(handle, read_card(card_path("face_mask")))  # type: ignore[arg-type]


def picture(size: int) -> np.ndarray:
    return np.zeros((1, size // 3, 3), np.uint8)


@pytest.mark.parametrize(
    ("size", "way"), [(300_000, "by value"), (LARGEST_BY_VALUE, "by value"), (LARGEST_BY_VALUE + 3, "by reference")]
)
async def test_transport_by_size(size: int, way: str) -> None:
    handle = Handle([ANSWER])
    assert await branch(handle)(picture(size), CALL) is ANSWER
    assert handle.travelled == [way]


async def test_an_answer_too_large_for_grpc_comes_by_reference() -> None:
    handle = Handle([rpc_error(grpc.StatusCode.RESOURCE_EXHAUSTED), ANSWER])
    assert await branch(handle)(picture(300_000), CALL) is ANSWER
    assert handle.travelled == ["by value", "by reference"]


async def test_other_failures_of_the_transport_are_not_tried_again() -> None:
    handle = Handle([rpc_error(grpc.StatusCode.INTERNAL), ANSWER])
    with pytest.raises(BranchFailed) as failed:
        await branch(handle)(picture(300_000), CALL)
    assert failed.value.failure.code == "internal"
    assert handle.travelled == ["by value"]
