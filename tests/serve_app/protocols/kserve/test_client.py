"""KServe's own Python client against both protocols that it speaks over REST: V1 and Open Inference V2."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from deployments.imaging.decode import decode
from serve_app.http.app import create_app
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.kserve import routes as kserve
from serve_app.protocols.open_inference import routes as open_inference
from tests.serve_app.conftest import HEIGHT, WIDTH, FakeBranch
from tests.serve_app.protocols.client_venv import client_python
from tests.serve_app.protocols.loopback import serving

KSERVE_CLIENT = """
import asyncio, base64, json, sys
from io import BytesIO
import httpx, numpy
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from PIL import Image

url, model = sys.argv[1], "mask_detection"
photo = sys.stdin.buffer.read()
pixels = numpy.asarray(Image.open(BytesIO(photo)).convert("RGB"))[None]

def tensor(array, datatype, binary):
    made = InferInput("images", list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made

async def refused(call):
    try:
        return await call
    except httpx.HTTPStatusError as error:
        return [error.response.status_code, str(error)]

async def v1():
    async with InferenceRESTClient(RESTConfig(protocol="v1")) as client:
        body = {"instances": [{"image": {"b64": base64.b64encode(photo).decode()}}]}
        return {
            "live": await client.is_server_live(url),
            "ready": [await client.is_model_ready(url, name) for name in (model, "instance_segmentation")],
            "faces": await client.infer(url, body, model_name=model),
            "unknown": await refused(client.infer(url, body, model_name="resnet")),
        }

async def v2():
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        async def infer(name, datatype, array, binary, **parameters):
            request = InferRequest(name, [tensor(array, datatype, binary)], "mine", parameters=parameters)
            answer = await client.infer(url, request, model_name=name)
            outputs = {each.name: each.as_numpy().tolist() for each in answer.outputs}
            return {"model": answer.model_name, "id": answer.id, **outputs}
        file = numpy.array([photo, None], object)[:1]
        return {
            "live": await client.is_server_live(url),
            "server_ready": await refused(client.is_server_ready(url)),
            "ready": [await client.is_model_ready(url, name) for name in (model, "instance_segmentation", "resnet")],
            "faces": [
                await infer(model, "UINT8", pixels, False),
                await infer(model, "UINT8", pixels, True),
                await infer(model, "BYTES", file, True, binary_data_output=True, face_threshold=0.25),
            ],
            "unknown": await refused(infer("resnet", "UINT8", pixels, True)),
        }

async def main():
    print(json.dumps({"v1": await v1(), "v2": await v2()}, default=bytes.decode))

asyncio.run(main())
"""


@pytest.fixture
def url(pipeline: Pipeline, limits: Limits) -> Iterator[str]:
    with serving(create_app(pipeline, limits, [kserve.routes, open_inference.routes], frozenset())) as base:
        yield base


@pytest.mark.clients
@pytest.mark.parametrize("alive", [True, False])
def test_kserve_s_client_works_unchanged(
    url: str,
    faces: FakeBranch,
    instances: FakeBranch,
    photo: bytes,
    alive: bool,
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    """Faces are found whether or not the model of instances, which ``alive`` tells, answers."""
    python = client_python(Path(pytestconfig.cache.mkdir("clients")), "kserve==0.21.0")
    instances.alive = alive
    command = [str(python), "-c", KSERVE_CLIENT, url]
    done = subprocess.run(command, input=photo, cwd=tmp_path, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout)

    v1 = found["v1"]
    assert v1["live"] is True
    assert v1["ready"] == [True, alive]
    (row,) = v1["faces"]["predictions"]
    assert row["detection_class_names"] == ["MASK"]
    assert row["detection_boxes"] == [pytest.approx([6 / HEIGHT, 18.123456 / WIDTH, 18 / HEIGHT, 30 / WIDTH])]
    assert row["num_detections"] == 1
    status, message = v1["unknown"]
    assert status == 404
    assert "Model with name resnet does not exist" in message

    v2 = found["v2"]
    assert v2["live"] is True
    assert v2["server_ready"] is True if alive else v2["server_ready"][0] == 503
    assert v2["ready"] == [True, alive, False]
    for answer in v2["faces"]:
        assert (answer["model"], answer["id"], answer["labels"]) == ("mask_detection", "mine", ["MASK"])
        assert answer["boxes"] == [pytest.approx([18.123456, 6, 30, 18])]
        assert answer["scores"] == [pytest.approx(0.912345678)]
        assert answer["image_sizes"] == [[HEIGHT, WIDTH]]
    status, message = v2["unknown"]
    assert status == 404
    assert "resnet" in message

    assert len(faces.images) == 4
    pixels = decode(photo, 1_000_000)
    assert all(np.array_equal(image, pixels) for image in faces.images)
    assert [call.options.face_threshold for call in faces.calls] == [None, None, None, 0.25]  # type: ignore[union-attr]
