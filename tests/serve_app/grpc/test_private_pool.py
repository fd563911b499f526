import importlib
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool

from serve_app.grpc import private_pool, protos
from serve_app.grpc.generate import in_private_pool

FOLDER = Path(protos.__path__[0])
MODULES = sorted(path.stem for path in FOLDER.glob("*_pb2.py"))


def test_every_proto_is_generated() -> None:
    assert sorted(f"{path.stem}_pb2" for path in FOLDER.glob("*.proto")) == MODULES
    assert "tensorflow_serving_pb2" in MODULES


@pytest.mark.parametrize("name", MODULES)
def test_messages_are_in_the_private_pool_only(name: str) -> None:
    module = importlib.import_module(f"{protos.__name__}.{name}")

    assert module.DESCRIPTOR.pool is private_pool.Default()
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindFileByName(module.DESCRIPTOR.name)


def test_only_the_pool_of_generated_code_is_replaced() -> None:
    code = "from google.protobuf import descriptor_pool as _p\nfrom google.protobuf import any_pb2\n"
    assert in_private_pool(code) == (
        "from serve_app.grpc import private_pool as _p\nfrom google.protobuf import any_pb2\n"
    )
