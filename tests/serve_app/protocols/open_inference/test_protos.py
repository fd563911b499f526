"""Our messages, methods and stubs, beside Triton's."""

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor
from tritonclient.grpc import model_config_pb2, service_pb2

from serve_app.protocols.open_inference.protos import open_inference_pb2 as pb

ROOT = Path(__file__).parents[4]


def difference(ours: Descriptor, theirs: Descriptor) -> list[str]:
    """Fields of ours that theirs does not have as they are."""
    wrong = []
    for field in ours.fields:
        other = theirs.fields_by_name.get(field.name)
        same = other is not None and (field.number, field.type, field.is_repeated) == (
            other.number,
            other.type,
            other.is_repeated,
        )
        if not same:
            wrong.append(f"{ours.full_name}.{field.name}")
        elif field.message_type is not None:
            wrong += difference(field.message_type, other.message_type)
    return wrong


def test_our_messages_are_a_part_of_triton_s() -> None:
    theirs = {**service_pb2.DESCRIPTOR.message_types_by_name, **model_config_pb2.DESCRIPTOR.message_types_by_name}
    wrong = [
        one for name, ours in pb.DESCRIPTOR.message_types_by_name.items() for one in difference(ours, theirs[name])
    ]
    # KServe's, as the protocol's own text has it; Triton answers without.
    assert wrong == ["inference.ModelMetadataResponse.properties"]
    assert dict(pb.DataType.items()) == dict(model_config_pb2.DataType.items())


def test_our_methods_are_a_part_of_triton_s() -> None:
    ours = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    theirs = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert ours.full_name == theirs.full_name
    for method in ours.methods:
        other = theirs.methods_by_name[method.name]
        assert method.input_type.full_name == other.input_type.full_name
        assert method.output_type.full_name == other.output_type.full_name


@pytest.mark.parametrize(
    "first", ["serve_app.protocols.open_inference.protos.open_inference_pb2", "tritonclient.grpc.service_pb2"]
)
def test_our_stubs_and_triton_s_load_in_one_process_in_any_order(first: str) -> None:
    code = f"import {first}, serve_app.protocols.open_inference.service, tritonclient.grpc"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
