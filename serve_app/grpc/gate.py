"""What stands before Serve in its gRPC servers: the proxies'; with HAProxy, the ingress replicas'.

As http/gate.py does for HTTP, it tells an overload on without asking the ingress again, and bounds the bytes that wait.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc  # type: ignore[import-untyped]
from ray.serve._private.proxy_request_response import gRPCStreamingType
from ray.serve.grpc_util import RayServegRPCContext

from serve_app.admission import OVERLOADED
from serve_app.grpc.call import BUSY, PUSHBACK, CallRefused
from serve_app.latest import Latest
from serve_app.limits import Limits
from serve_app.overloads import NOBODY_ANSWERS, Overloads

logger = logging.getLogger("ray.serve")

MOST_BYTES = Limits().bytes_in_flight
READY = ("/grpc.health.v1.Health/Check", "/inference.GRPCInferenceService/ServerReady")
"""Open to all, and asked of the ingress, but not for long: behind many photos it would answer too late for a probe."""
LARGEST_QUESTION = 1024
"""Bytes of a request that is such a question."""
LOST = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE)
"""Codes that Serve sets where a replica died, or where there is none."""
Handler = Callable[[Any, Any], Awaitable[bytes]]


class Gate:
    """Of one gRPC server."""

    def __init__(
        self,
        own_answers: Mapping[str, bytes],
        most_bytes: int = MOST_BYTES,
        report: Callable[[str], None] = lambda code: None,
    ) -> None:
        """own_answers: messages that are sent without asking anybody, by method; most_bytes: of all that wait; report:
        is told the code of each refusal."""
        self._own_answers = own_answers
        self._report = report
        self._most_bytes = most_bytes
        self._held = 0
        self._overloads = Overloads()
        self._readiness = Latest[tuple[bytes, RayServegRPCContext]]()

    def install(self, server: Any) -> None:
        """In a server of Serve, before services are added to it."""
        factory = server.service_handler_factory

        def guarded_factory(service_method: str, streaming_type: gRPCStreamingType) -> Any:
            handler = factory(service_method=service_method, streaming_type=streaming_type)
            is_unary = streaming_type is gRPCStreamingType.UNARY_UNARY
            return self.guarded(service_method, handler) if is_unary else handler

        server.service_handler_factory = guarded_factory

    def guarded(self, method: str, handler: Handler) -> Handler:
        """A handler of one of Serve's methods, or of ours, whose requests are bytes."""

        async def call(request: Any, context: Any) -> bytes:
            if method in self._own_answers:
                return self._own_answers[method]
            if not isinstance(request, bytes):
                return await handler(request, context)
            if method in READY and len(request) <= LARGEST_QUESTION:
                return await self._ready(method, handler, request, context)
            refusal = self._refusal(method, len(request))
            if refusal is not None:
                self._report(refusal.code.name.lower())
                logger.info("the gate refused: %s %s", method, refusal.code.name)
                refusal.write_to(context)
                return b""
            self._held += len(request)
            try:
                answer = await _forwarded(handler, request, context)
            finally:
                self._held -= len(request)
            self._learn(method, context)
            return answer

        return call

    async def _ready(self, method: str, handler: Handler, request: bytes, context: Any) -> bytes:
        """What the ingress says of its readiness, or said lately."""

        # The answer may come once the call has ended, and gRPC's own context must not be touched any more then.
        copy = RayServegRPCContext(context)

        async def ask() -> tuple[bytes, RayServegRPCContext]:
            return await _forwarded(handler, request, copy), copy

        told = await self._readiness.answer((method, request), ask)
        if told is None:
            CallRefused(grpc.StatusCode.UNAVAILABLE, NOBODY_ANSWERS, 1).write_to(context)
            return b""
        answer, heard = told
        if heard.code():
            context.set_code(heard.code())
        context.set_details(heard.details() or "")
        context.set_trailing_metadata(heard.trailing_metadata())
        return answer

    def _refusal(self, method: str, size: int) -> CallRefused | None:
        retry_after_s = self._overloads.retry_after_s(method)
        if retry_after_s is not None:
            return CallRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, OVERLOADED, retry_after_s)
        if self._held and self._held + size > self._most_bytes:
            full = "the service holds as many bytes of requests as it may"
            return CallRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, full, 1)
        return None

    def _learn(self, method: str, context: Any) -> None:
        told = dict(context.trailing_metadata() or ())
        if BUSY in told:
            self._overloads.remember(method, int(told[PUSHBACK]) // 1000, float(told[BUSY]))
            context.set_trailing_metadata([pair for pair in context.trailing_metadata() if pair[0] != BUSY])


async def _forwarded(handler: Handler, request: bytes, context: Any) -> bytes:
    """To an ingress replica, and to another one if that dies.

    With an answer, or a refusal, of a replica comes trailing metadata. Without, what Serve has to say is no client's
    business.
    """
    for _ in range(2):
        answer = await handler(request, context)
        if context.trailing_metadata() or context.code() not in LOST:
            return answer
        context.set_code(0)  # as if none was set: Serve sets one only then, and StatusCode.OK counts as one
        context.set_details("")
    CallRefused(grpc.StatusCode.UNAVAILABLE, NOBODY_ANSWERS, 1).write_to(context)
    return b""
