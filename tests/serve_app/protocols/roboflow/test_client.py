"""Roboflow's own client."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from tests.serve_app.conftest import HEIGHT, WIDTH, FakeBranch, person_mask
from tests.serve_app.protocols.client_venv import client_python
from tests.serve_app.protocols.loopback import serving

SDK_CLIENT = """
import json, sys
import numpy, supervision
from inference_sdk import InferenceConfiguration, InferenceHTTPClient
from inference_sdk.http.entities import VisualisationResponseFormat
from inference_sdk.http.errors import HTTPCallErrorError, ModelNotInitializedError

url, photo = sys.argv[1:]
found = {}
client = InferenceHTTPClient(api_url=url, api_key="key")
found["faces"] = client.infer(photo, model_id="mask_detection/1")
found["list"] = [len(each["predictions"]) for each in client.infer([photo] * 3, model_id="mask_detection/1")]
found["polygons"] = client.infer(photo, model_id="instance_segmentation/1")
loaded = supervision.Detections.from_inference(found["polygons"])
found["areas"] = loaded.mask.sum(axis=(1, 2)).tolist()
drawn = InferenceConfiguration(
    confidence_threshold=0.6, class_filter=["person"], max_detections=3, response_mask_format="rle",
    visualize_predictions=True, output_visualisation_format=VisualisationResponseFormat.NUMPY, max_batch_size=2,
    api_key_transport="header",
)
with client.use_configuration(drawn):
    first, second = client.infer([photo, numpy.zeros((48, 64, 3), numpy.uint8)], model_id="instance_segmentation/1")
found["drawn"] = [first.pop("visualization").shape, second["image"]]
found["rle"] = first
try:
    client.infer(photo, model_id="coco/3")
except HTTPCallErrorError as error:
    found["unknown"] = [error.status_code, error.api_message]
client.select_api_v0()
found["hosted"] = client.infer(photo, model_id="mask_detection/1")
with client.use_configuration(InferenceConfiguration(confidence_threshold=0.4, format="image", iou_threshold=0.3)):
    found["hosted_image"] = len(client.infer(photo, model_id="instance_segmentation/1")["visualization"])
print(json.dumps(found, default=str))
"""


@pytest.fixture
def url(app: FastAPI) -> Iterator[str]:
    with serving(app) as base:
        yield base


@pytest.mark.clients
def test_inference_sdk_works_unchanged(
    url: str, instances: FakeBranch, photo: bytes, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    python = client_python(Path(pytestconfig.cache.mkdir("clients")), "inference-sdk==1.8.3")  # type: ignore[union-attr]
    path = tmp_path / "photo.png"
    path.write_bytes(photo)
    command = [str(python), "-c", SDK_CLIENT, url, str(path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for answer in (found["faces"], found["hosted"]):
        assert [face["class"] for face in answer["predictions"]] == ["MASK"]
        assert answer["image"] == {"width": WIDTH, "height": HEIGHT}
    assert found["list"] == [1, 1, 1]
    assert found["areas"] == [8 * 14, int(person_mask().sum()) + 4 * 6]  # the polygon fills the person's hole
    assert found["drawn"] == [[HEIGHT, WIDTH, 3], {"width": WIDTH, "height": HEIGHT}]
    assert [each["rle"] for each in found["rle"]["predictions"]] == [each.mask for each in instances.results]  # type: ignore[union-attr]
    options = [call.options for call in instances.calls]
    assert (options[1].score_threshold, options[1].classes, options[1].max_instances) == (0.6, ("person",), 3)  # type: ignore[union-attr]
    assert options[-1].score_threshold == 0.4  # type: ignore[union-attr]
    status, message = found["unknown"]
    assert status == 404
    assert "coco/3" in message
    assert found["hosted_image"] > 100
