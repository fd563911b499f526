"""grpc.health.v1 over branches that live and die as a test says."""

import asyncio
from unittest.mock import Mock

import grpc
import pytest
from grpc_health.v1 import health_pb2 as pb

from serve_app.grpc.call import CallRefused
from serve_app.grpc.health import Health
from serve_app.pipeline import Pipeline
from tests.serve_app.conftest import FakeBranch

SERVING, NOT_SERVING = pb.HealthCheckResponse.SERVING, pb.HealthCheckResponse.NOT_SERVING


def request(service: str) -> bytes:
    return pb.HealthCheckRequest(service=service).SerializeToString()


@pytest.fixture
def health(pipeline: Pipeline) -> Health:
    return Health(pipeline, ["a.Service"])


def test_check_tells_whether_every_branch_answers(health: Health, faces: FakeBranch) -> None:
    assert [health.check(request(name)).status for name in ("", "a.Service")] == [SERVING, SERVING]
    faces.alive = False
    assert [health.check(request(name)).status for name in ("", "a.Service")] == [NOT_SERVING, NOT_SERVING]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (request("unicorn"), grpc.StatusCode.NOT_FOUND),
        (b"\xff\xff", grpc.StatusCode.INVALID_ARGUMENT),
        (request("x" * 5000), grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_what_cannot_be_checked(health: Health, sent: bytes, code: grpc.StatusCode) -> None:
    with pytest.raises(CallRefused) as refused:
        health.check(sent)
    assert refused.value.code == code


async def test_watch_tells_every_change_once(
    health: Health, faces: FakeBranch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.grpc.health.LOOKED_AT_EVERY_S", 0.0)
    watched = health.watch(request(""))
    assert (await anext(watched)).status == SERVING
    following = asyncio.ensure_future(anext(watched))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not following.done()
    faces.alive = False
    assert (await following).status == NOT_SERVING
    assert (await anext(health.watch(request("unicorn")))).status == pb.HealthCheckResponse.SERVICE_UNKNOWN


def test_a_refusal_says_when_to_come_again() -> None:
    from google.rpc.error_details_pb2 import RetryInfo
    from google.rpc.status_pb2 import Status

    context = Mock()
    CallRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", 2.5).write_to(context)
    context.set_code.assert_called_once_with(grpc.StatusCode.RESOURCE_EXHAUSTED)
    ((metadata,), _) = context.set_trailing_metadata.call_args
    told = dict(metadata)
    assert told["grpc-retry-pushback-ms"] == "2500"
    status = Status.FromString(told["grpc-status-details-bin"])
    assert (status.code, status.message) == (8, "full")
    info = RetryInfo()
    assert status.details[0].Unpack(info)
    assert info.retry_delay.seconds == 3
    context.reset_mock()
    CallRefused(grpc.StatusCode.NOT_FOUND, "none").write_to(context)
    context.set_trailing_metadata.assert_not_called()
