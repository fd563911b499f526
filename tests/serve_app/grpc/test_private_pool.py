import importlib
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool

from serve_app import protocols
from serve_app.grpc import private_pool
from serve_app.grpc.generate import in_private_pool

FOLDER = Path(protocols.__path__[0])
MODULES = sorted(f"{path.parts[-3]}.protos.{path.stem}" for path in FOLDER.glob("*/protos/*_pb2.py"))


def test_every_proto_is_generated() -> None:
    protos = FOLDER.glob("*/protos/*.proto")
    assert sorted(f"{path.parts[-3]}.protos.{path.stem}_pb2" for path in protos) == MODULES
    assert {"open_inference.protos.open_inference_pb2", "tf_serving.protos.tensorflow_serving_pb2"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_messages_are_in_the_private_pool_only(name: str) -> None:
    module = importlib.import_module(f"{protocols.__name__}.{name}")

    assert module.DESCRIPTOR.pool is private_pool.Default()
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindFileByName(module.DESCRIPTOR.name)


def test_only_the_pool_of_generated_code_is_replaced() -> None:
    code = "from google.protobuf import descriptor_pool as _p\nfrom google.protobuf import any_pb2\n"
    assert in_private_pool(code) == (
        "from serve_app.grpc import private_pool as _p\nfrom google.protobuf import any_pb2\n"
    )
