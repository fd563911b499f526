"""How services are made known to Serve's gRPC servers. Loads little, since Serve's proxies import it."""

from operator import methodcaller
from typing import Any

import grpc  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]


def register(service: Any, servicer: Any, server: Any) -> None:
    """Register a servicer of a service, given by its descriptor; Serve calls this with a stand-in, for the names.

    Unlike what protoc generates it passes requests on as bytes: Serve's proxy then neither parses nor pickles messages,
    and none is parsed before it is checked.
    """
    handlers = {method.name: _handler(method, servicer) for method in service.methods}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))
    server.add_registered_method_handlers(service.full_name, handlers)


def add_health_to_server(servicer: Any, server: Any) -> None:
    """Register a servicer of ``grpc.health.v1.Health``, whose methods take bytes."""
    register(health_pb2.DESCRIPTOR.services_by_name["Health"], servicer, server)


def _handler(method: Any, servicer: Any) -> Any:
    make = grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
    return make(getattr(servicer, method.name), response_serializer=methodcaller("SerializeToString"))
