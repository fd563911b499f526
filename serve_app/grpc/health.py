"""gRPC's health service, ``grpc.health.v1.Health``, which load balancers and Kubernetes ask.

https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Any

import grpc  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2 as pb  # type: ignore[import-untyped]

from serve_app.grpc.call import CallRefused, invalid
from serve_app.pipeline import Pipeline

MAX_REQUEST_BYTES = 1024
LOOKED_AT_EVERY_S = 0.5


class Health:
    """SERVING while every branch answers; the empty name stands for the whole server, ``services`` are known too."""

    def __init__(self, pipeline: Pipeline, services: Collection[str]) -> None:
        self._pipeline = pipeline
        self._services = {"", *services}

    def check(self, request: bytes) -> Any:
        """The status now. Raises CallRefused, NOT_FOUND for an unknown service."""
        status = self._status(_service(request))
        if status == pb.HealthCheckResponse.SERVICE_UNKNOWN:
            raise CallRefused(grpc.StatusCode.NOT_FOUND, "unknown service")
        return pb.HealthCheckResponse(status=status)

    async def watch(self, request: bytes) -> AsyncIterator[Any]:
        """The status now and whenever it changes, until the client leaves."""
        service = _service(request)
        last = None
        while True:
            status = self._status(service)
            if status != last:
                last = status
                yield pb.HealthCheckResponse(status=status)
            await asyncio.sleep(LOOKED_AT_EVERY_S)

    def _status(self, service: str) -> int:
        if service not in self._services:
            return int(pb.HealthCheckResponse.SERVICE_UNKNOWN)
        answers = all(self._pipeline.ready().values())
        return int(pb.HealthCheckResponse.SERVING if answers else pb.HealthCheckResponse.NOT_SERVING)


def _service(request: bytes) -> str:
    if len(request) > MAX_REQUEST_BYTES:
        raise invalid("the request is larger than the name of any service")
    try:
        return str(pb.HealthCheckRequest.FromString(request).service)
    except DecodeError:
        raise invalid("the request is not a grpc.health.v1.HealthCheckRequest") from None
