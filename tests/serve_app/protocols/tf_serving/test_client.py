"""A client with TensorFlow Serving's own stubs."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest

from tests.photos import astronaut, png
from tests.serve_app.conftest import HEIGHT, WIDTH, FakeBranch

CLIENT = Path(__file__).with_name("tensorflow_client.py")


@pytest.fixture(scope="session")
def tensorflow_stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TensorFlow's own stubs, in a folder of their own: the package takes the name ``tensorflow``."""
    folder = tmp_path_factory.mktemp("tensorflow_stubs")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder)]
    installed = subprocess.run(
        [*command, "tensorflow-protobuf==2.11.0"], capture_output=True, text=True, timeout=120, check=False
    )
    if installed.returncode != 0:
        pytest.skip("pip cannot install tensorflow-protobuf here")
    return folder


async def test_a_client_with_tensorflows_own_stubs(
    tf_address: str, tensorflow_stubs: Path, tmp_path: Path, instances: FakeBranch
) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(png(np.ascontiguousarray(astronaut()[:HEIGHT, :WIDTH])))
    root = Path(__file__).parents[4]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(CLIENT),
        tf_address,
        str(photo),
        env={**os.environ, "PYTHONPATH": f"{tensorflow_stubs}{os.pathsep}{root}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == 0, errors.decode()
    found = orjson.loads(output)
    assert found["spec"] == ["instance_segmentation", 1, "serving_default"]
    assert found["shapes"]["detection_boxes"] == [1, 2, 4]
    assert found["shapes"]["detection_masks"] == [1, 2, 64, 64]
    assert found["names"] == ["chair", "person"]
    assert found["signature"] == ["serving_default"]
    assert found["refused"] == ["NOT_FOUND", "unicorn"]
    assert found["beside"] == "serve_app.protocols.tf_serving.protos.tensorflow_serving_pb2"
