import asyncio
from collections.abc import Sequence
from typing import Any

import grpc  # type: ignore[import-untyped]
import numpy as np
import pytest
from ray.exceptions import RayActorError, RayTaskError

from deployments.calls import Answer, Call, CallExpired, MaskDetectionOptions, OtherModel, ReplicaOverloaded
from deployments.models.card import card_path, read_card
from deployments.shared_pixels import NotShared, SharedPixels, can_share
from serve_app.branch import LARGEST_BY_VALUE, ServeBranch
from serve_app.breaker import FAILURES
from serve_app.pipeline import BranchFailed, ModelReplaced

needs_sharing = pytest.mark.skipif(not can_share(), reason="pixels are shared on Linux only")
USUAL_WAY = "shared" if can_share() else "by value"
CALL = Call(480, 640, MaskDetectionOptions(), deadline=float("inf"), request_id="test")
ANSWER = Answer((), 0.0, 0.0)


class Handle:
    """Stands for a deployment's handle: remembers how each call travelled, and answers or raises in turn."""

    def __init__(self, outcomes: Sequence[Answer | Exception]) -> None:
        self.outcomes = list(outcomes)
        self.travelled: list[str] = []
        self.ready = self
        self.way = "by reference"

    def options(self, *, _by_reference: bool, **_: Any) -> "Handle":
        other = Handle(())
        other.outcomes, other.travelled = self.outcomes, self.travelled
        other.way = "by reference" if _by_reference else "by value"
        return other

    async def remote(self, *arguments: Any) -> Answer:
        if not arguments:
            await asyncio.Event().wait()  # whether a replica is ready, nobody tells
        self.travelled.append("shared" if isinstance(arguments[0], SharedPixels) else self.way)
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


@pytest.fixture
def no_sharing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a system without what sharing takes."""
    monkeypatch.setattr("serve_app.branch.can_share", lambda: False)


def picture(size: int) -> np.ndarray:
    return np.zeros((1, size // 3, 3), np.uint8)


@pytest.mark.parametrize(
    ("size", "way"), [(300_000, "by value"), (LARGEST_BY_VALUE, "by value"), (LARGEST_BY_VALUE + 3, "by reference")]
)
@pytest.mark.usefixtures("no_sharing")
async def test_transport_by_size(size: int, way: str) -> None:
    handle = Handle([ANSWER])
    assert await branch(handle)(picture(size), CALL) is ANSWER
    assert handle.travelled == [way]


@needs_sharing
@pytest.mark.parametrize("size", [3, LARGEST_BY_VALUE + 3])
async def test_pixels_are_shared_whatever_their_size(size: int) -> None:
    handle = Handle([ANSWER])
    assert await branch(handle)(picture(size), CALL) is ANSWER
    assert handle.travelled == ["shared"]


@needs_sharing
async def test_a_replica_that_runs_elsewhere_is_sent_the_pixels_from_then_on() -> None:
    handle = Handle([NotShared(), ANSWER, ANSWER, ANSWER])
    made = branch(handle)
    for size in (3, 3, LARGEST_BY_VALUE + 3):
        assert await made(picture(size), CALL) is ANSWER
    assert handle.travelled == ["shared", "by value", "by value", "by reference"]


async def test_the_operator_s_thresholds_are_those_that_a_replica_tells() -> None:
    told = asyncio.Event()

    class Telling(Handle):
        def options(self, **_: Any) -> "Telling":
            return self

        async def remote(self, *arguments: Any) -> Any:
            told.set()
            return {"face_threshold": 0.75}

    asked = branch(Telling(()))
    assert not asked.ready()  # which begins to ask
    assert asked.thresholds == {}
    await told.wait()
    await asyncio.sleep(0)
    assert asked.ready()
    assert asked.thresholds == {"face_threshold": 0.75}


async def test_an_answer_too_large_for_grpc_comes_by_reference() -> None:
    handle = Handle([rpc_error(grpc.StatusCode.RESOURCE_EXHAUSTED), ANSWER])
    assert await branch(handle)(picture(300_000), CALL) is ANSWER
    assert handle.travelled == [USUAL_WAY, "by reference"]


async def test_other_failures_of_the_transport_are_not_tried_again() -> None:
    handle = Handle([rpc_error(grpc.StatusCode.INTERNAL), ANSWER])
    with pytest.raises(BranchFailed) as failed:
        await branch(handle)(picture(300_000), CALL)
    assert failed.value.failure.code == "internal"
    assert handle.travelled == [USUAL_WAY]


async def test_a_call_that_a_dying_replica_had_accepted_goes_to_another_one() -> None:
    handle = Handle([RayActorError(), ANSWER])
    assert await branch(handle)(picture(300_000), CALL) is ANSWER
    assert handle.travelled == [USUAL_WAY] * 2


async def test_two_dead_replicas_are_no_replica() -> None:
    with pytest.raises(BranchFailed) as failed:
        await branch(Handle([RayActorError(), RayActorError()]))(picture(300_000), CALL)
    assert failed.value.failure.code == "unavailable"


async def test_a_silent_branch_is_not_called() -> None:
    handle = Handle([ANSWER])
    silent = ServeBranch(handle, read_card(card_path("face_mask")), timeout_s=0.0)  # type: ignore[arg-type]
    with pytest.raises(BranchFailed) as failed:
        await silent(picture(300_000), CALL)
    assert failed.value.failure.code == "unavailable"
    assert handle.travelled == []


@pytest.mark.parametrize("as_ray_raises_it", [False, True])
async def test_a_new_version_of_the_model_is_taken_over(as_ray_raises_it: bool) -> None:
    new = read_card(card_path("face_mask")).model_copy(update={"version": "2"})
    raised: Exception = OtherModel(new.model_dump_json())
    if as_ray_raises_it:
        raised = RayTaskError("remote", "traceback", raised).as_instanceof_cause()
    made = branch(Handle([raised, ANSWER]))
    with pytest.raises(ModelReplaced):
        await made(picture(300_000), CALL)
    assert made.card == new
    assert await made(picture(300_000), CALL) is ANSWER


@pytest.mark.parametrize(
    ("raised", "code"), [(ReplicaOverloaded("full"), "overloaded"), (CallExpired("late"), "deadline_exceeded")]
)
async def test_what_a_replica_refuses_says_nothing_of_the_branch(raised: Exception, code: str) -> None:
    made = branch(Handle([raised] * FAILURES + [ANSWER]))
    for _ in range(FAILURES):
        with pytest.raises(BranchFailed) as failed:
            await made(picture(300_000), CALL)
        assert failed.value.failure.code == code
    assert await made(picture(300_000), CALL) is ANSWER
