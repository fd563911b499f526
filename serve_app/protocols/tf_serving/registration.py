"""Registers TensorFlow Serving's services. Loads little, since Serve's proxies import it."""

from typing import Any

from serve_app.grpc.registration import register
from serve_app.protocols.tf_serving.protos import tensorflow_serving_pb2 as pb


def add_prediction_service_to_server(servicer: Any, server: Any) -> None:
    """Register a servicer of ``tensorflow.serving.PredictionService``, whose methods take bytes."""
    register(pb.DESCRIPTOR.services_by_name["PredictionService"], servicer, server)


def add_model_service_to_server(servicer: Any, server: Any) -> None:
    """Register a servicer of ``tensorflow.serving.ModelService``, whose methods take bytes."""
    register(pb.DESCRIPTOR.services_by_name["ModelService"], servicer, server)
