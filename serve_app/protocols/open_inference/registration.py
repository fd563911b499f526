"""Registers ``inference.GRPCInferenceService``. Loads little, since Serve's proxies import it."""

from operator import methodcaller
from typing import Any

import grpc  # type: ignore[import-untyped]

from serve_app.protocols.open_inference.protos import open_inference_pb2 as pb


def add_open_inference_to_server(servicer: Any, server: Any) -> None:
    """Register a servicer; Ray Serve calls this with a stand-in, for the names of the methods.

    Unlike the generated function it passes requests on as bytes: Serve's proxy then neither parses nor pickles them,
    and no message is parsed before it is checked.
    """
    service = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    handlers = {
        method.name: grpc.unary_unary_rpc_method_handler(
            getattr(servicer, method.name), response_serializer=methodcaller("SerializeToString")
        )
        for method in service.methods
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))
    server.add_registered_method_handlers(service.full_name, handlers)
