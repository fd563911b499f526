"""The gate before Serve's gRPC methods, over handlers that the tests write."""

import asyncio
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from ray.serve._private.proxy_request_response import gRPCStreamingType

from serve_app.admission import Overloaded
from serve_app.grpc.call import BUSY, PUSHBACK, CallRefused, refusals
from serve_app.grpc.gate import LARGEST_QUESTION, READY, Gate

INFER, LIVE = "/inference.GRPCInferenceService/ModelInfer", "/inference.GRPCInferenceService/ServerLive"


class Context:
    """As much of a call's context as the gate and the refusals use."""

    def __init__(self) -> None:
        self.set: grpc.StatusCode | int | None = None
        self.told = ""
        self.trailing: tuple[tuple[str, str | bytes], ...] = ()
        self.ended = False
        """From then on gRPC's own context, asked for the peer, ends the process."""

    def set_code(self, code: grpc.StatusCode | int) -> None:
        self.set = code

    def code(self) -> grpc.StatusCode | int | None:
        return self.set

    def set_details(self, details: str) -> None:
        self.told = details

    def details(self) -> str:
        return self.told

    def set_trailing_metadata(self, trailing: list[tuple[str, str | bytes]]) -> None:
        self.trailing = tuple(trailing)

    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return self.trailing

    def peer(self) -> str:
        assert not self.ended
        return "ipv4:127.0.0.1:1"

    peer_identities = peer_identity_key = auth_context = lambda self: None

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    @property
    def retry_after_s(self) -> int:
        status = Status.FromString(dict(self.trailing)["grpc-status-details-bin"])
        info = RetryInfo()
        assert status.details[0].Unpack(info)
        return int(info.retry_delay.seconds)


class Ingress:
    """Answers, or is overloaded, or waits."""

    def __init__(self) -> None:
        self.calls = 0
        self.overloaded = False
        self.deaths = 0
        """Calls whose replica dies: Serve sets a code, and no metadata."""
        self.gate: asyncio.Event | None = None

    async def __call__(self, request: Any, context: Any) -> bytes:
        self.calls += 1
        if self.gate is not None:
            await self.gate.wait()
        context.peer()  # as Serve asks, now and then
        if self.deaths:
            self.deaths -= 1
            if not context.code():  # as Serve does
                context.set_code(grpc.StatusCode.INTERNAL)
            context.set_details("the actor died, on 10.0.0.1")
            return b""
        context.set_trailing_metadata([("request_id", "an-id")])
        if self.overloaded:
            try:
                with refusals(context):
                    raise Overloaded(7.0, 60.0)
            except CallRefused:
                return b""
        return b"answer"


@pytest.fixture
def ingress() -> Ingress:
    return Ingress()


async def test_an_overload_is_told_on_without_asking_the_ingress(ingress: Ingress) -> None:
    call = Gate({}).guarded(INFER, ingress)
    assert await call(b"photo", Context()) == b"answer"
    ingress.overloaded = True
    for _ in range(3):
        context = Context()
        assert await call(b"photo", context) == b""
        assert context.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert context.retry_after_s == 7
        assert dict(context.trailing)[PUSHBACK] == "7000"
        assert BUSY not in dict(context.trailing)
    assert ingress.calls == 2


async def test_an_overload_of_one_method_is_none_of_another(ingress: Ingress) -> None:
    gate = Gate({})
    ingress.overloaded = True
    await gate.guarded(INFER, ingress)(b"photo", Context())
    ingress.overloaded = False
    assert await gate.guarded("/grpc.health.v1.Health/Check", ingress)(b"", Context()) == b"answer"


async def test_the_bytes_that_wait_are_bounded(ingress: Ingress) -> None:
    call = Gate({}, most_bytes=1000).guarded(INFER, ingress)
    ingress.gate = asyncio.Event()
    waiting = asyncio.create_task(call(b"x" * 900, Context()))
    await asyncio.sleep(0)
    context = Context()
    assert await call(b"x" * 101, context) == b""
    assert context.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert context.retry_after_s == 1
    small = asyncio.create_task(call(b"x" * 100, Context()))
    await asyncio.sleep(0)
    ingress.gate.set()
    assert [await waiting, await small] == [b"answer"] * 2
    assert await call(b"x" * 2000, Context()) == b"answer"  # alone, one message may be larger


async def test_a_call_of_an_ingress_that_dies_goes_to_another_one(ingress: Ingress) -> None:
    ingress.deaths = 1
    context = Context()
    assert await Gate({}).guarded(INFER, ingress)(b"photo", context) == b"answer"
    assert (context.code(), context.details(), ingress.calls) == (0, "", 2)


async def test_where_none_answers_the_call_is_refused(ingress: Ingress) -> None:
    ingress.deaths = 2
    context = Context()
    assert await Gate({}).guarded(INFER, ingress)(b"photo", context) == b""
    assert context.code() is grpc.StatusCode.UNAVAILABLE
    assert context.retry_after_s == 1
    assert "10.0.0.1" not in context.details()


async def test_a_fault_of_the_ingress_is_told_as_it_is(ingress: Ingress) -> None:
    async def fails(request: bytes, context: Context) -> bytes:
        context.set_trailing_metadata([("request_id", "an-id")])
        context.set_code(grpc.StatusCode.INTERNAL)
        return await ingress(request, context)

    context = Context()
    await Gate({}).guarded(INFER, fails)(b"photo", context)
    assert (context.code(), ingress.calls) == (grpc.StatusCode.INTERNAL, 1)


async def test_whether_it_lives_needs_no_ingress(ingress: Ingress) -> None:
    assert await Gate({LIVE: b"live"}).guarded(LIVE, ingress)(b"", Context()) == b"live"
    assert ingress.calls == 0


async def test_services_of_serve_itself_pass(ingress: Ingress) -> None:
    assert await Gate({}).guarded("/ray.serve.RayServeAPIService/Healthz", ingress)(object(), Context()) == b"answer"


def test_streams_are_left_alone(ingress: Ingress) -> None:
    class Server:
        @staticmethod
        def service_handler_factory(service_method: str, streaming_type: gRPCStreamingType) -> Ingress:
            return ingress

    Gate({}).install(Server)
    for kind in gRPCStreamingType:
        made = Server.service_handler_factory(service_method=INFER, streaming_type=kind)
        assert (made is ingress) == (kind is not gRPCStreamingType.UNARY_UNARY)


@pytest.mark.parametrize("method", READY)
async def test_a_probe_does_not_wait_for_a_busy_ingress(
    ingress: Ingress, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.latest.PATIENCE_S", 0.05)
    call = Gate({}).guarded(method, ingress)
    ingress.gate = asyncio.Event()
    unknown = Context()
    assert await call(b"", unknown) == b""
    assert unknown.set is grpc.StatusCode.UNAVAILABLE
    unknown.ended = True
    ingress.gate.set()
    assert await call(b"", Context()) == b"answer"
    ingress.gate.clear()
    told = Context()
    assert await call(b"", told) == b"answer"
    assert (told.set, told.trailing) == (None, (("request_id", "an-id"),))
    assert await call(b"of something else", Context()) == b""


@pytest.mark.parametrize("method", READY)
async def test_a_probe_is_told_at_once_where_there_is_no_ingress(ingress: Ingress, method: str) -> None:
    ingress.deaths = 2
    context = Context()
    assert await Gate({}).guarded(method, ingress)(b"", context) == b""
    assert context.set is grpc.StatusCode.UNAVAILABLE
    assert "10.0.0.1" not in context.details()


async def test_large_requests_are_no_probes_and_are_not_kept(ingress: Ingress, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_app.latest.PATIENCE_S", 0.0)
    ingress.gate = asyncio.Event()
    asked = asyncio.create_task(Gate({}).guarded(READY[0], ingress)(bytes(LARGEST_QUESTION + 1), Context()))
    await asyncio.sleep(0.05)
    assert not asked.done()
    ingress.gate.set()
    assert await asked == b"answer"
