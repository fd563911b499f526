"""Registers ``inference.GRPCInferenceService``. Loads little, since Serve's proxies import it."""

from typing import Any

from serve_app.grpc.registration import register
from serve_app.protocols.open_inference.protos import open_inference_pb2 as pb


def add_open_inference_to_server(servicer: Any, server: Any) -> None:
    """Register a servicer, whose methods take bytes."""
    register(pb.DESCRIPTOR.services_by_name["GRPCInferenceService"], servicer, server)
