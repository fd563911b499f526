"""Clients as PaddleHub's documentation has them; only the address and the photo's path are filled in."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from PIL import Image

from deployments.results import Box
from serve_app.limits import Limits
from tests.photos import SHARED, astronaut, jpeg, needs_shared
from tests.serve_app.conftest import HEIGHT, WIDTH, FakeBranch
from tests.serve_app.protocols.loopback import serving
from tests.serve_app.protocols.paddlehub.bodies import Body, paddlehub_app

CLIENT_2X = """
import base64, json, sys
import cv2, requests
url, photo = sys.argv[1:]
encoded = base64.b64encode(cv2.imencode(".jpg", cv2.imread(photo))[1].tobytes()).decode("utf8")
answer = requests.post(url + "/predict/pyramidbox_lite_server_mask",
                       headers={"Content-type": "application/json"}, data=json.dumps({"images": [encoded]}))
print(json.dumps(answer.json()["results"][0]["data"]))
"""
CLIENT_2X_SOLOV2 = """
import base64, json, sys
import cv2, numpy, requests
url, photo = sys.argv[1:]
picture = cv2.imread(photo)
height, width, _ = picture.shape
encoded = base64.b64encode(cv2.imencode(".jpg", picture)[1].tobytes()).decode("utf8")
answer = requests.post(url + "/predict/solov2",
                       headers={"Content-type": "application/json"}, data=json.dumps({"images": [encoded]}))
results = answer.json()["results"]
masks = numpy.frombuffer(base64.b64decode(results["segm"].encode("utf8")), dtype=numpy.int32)
masks = masks.reshape((-1, height, width))
labels = numpy.frombuffer(base64.b64decode(results["label"].encode("utf8")), dtype=numpy.int64)
scores = numpy.frombuffer(base64.b64decode(results["score"].encode("utf8")), dtype=numpy.float32)
print(json.dumps([{"label": int(label), "score": float(score), "area": int(mask.sum())}
                  for mask, label, score in zip(masks, labels, scores)]))
"""
CLIENT_1X_FILES = """
import base64, json, os, sys
import requests
url, photo = sys.argv[1:]
with open(photo, "rb") as file:
    answer = requests.post(url + "/predict/image/pyramidbox_lite_server_mask",
                           files=[("image", file)], data={"visual_result": "True"})
results = eval(answer.json()["results"])
os.makedirs("output", exist_ok=True)
for item in results:
    with open(os.path.join("output", item["path"]), "wb") as drawn:
        drawn.write(base64.b64decode(item["base64"].split(",")[-1]))
print(json.dumps(results[0]["data"]))
"""
CLIENT_1X_BASE64 = """
import base64, json, sys
import requests
url, photo = sys.argv[1:]
with open(photo, "rb") as file:
    encoded = str(base64.b64encode(file.read()), encoding="utf8")
answer = requests.post(url + "/predict/image/pyramidbox_lite_server_mask",
                       data={"data": json.dumps({"b64s": [encoded]})})
print(json.dumps(eval(answer.json()["results"])[0]["data"]))
"""
CLIENTS = {"2.x": CLIENT_2X, "1.x files": CLIENT_1X_FILES, "1.x base64": CLIENT_1X_BASE64}


def run_client(script: str, url: str, photo: Path, folder: Path) -> list[Body]:
    """Run a client's script in a process and a folder of its own; what it printed."""
    command = [sys.executable, "-c", script, url, str(photo)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found: list[Body] = json.loads(done.stdout)
    return found


@pytest.fixture
def url(app: FastAPI) -> Iterator[str]:
    with serving(app) as base:
        yield base


@pytest.fixture
def photo_file(tmp_path: Path, photo: bytes) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(photo)
    return path


@pytest.mark.parametrize("name", CLIENTS)
def test_documented_clients_read_the_answer(url: str, photo_file: Path, tmp_path: Path, name: str) -> None:
    (face,) = run_client(CLIENTS[name], url, photo_file, tmp_path)
    assert face["label"] == "MASK"
    assert face["confidence"] == pytest.approx(0.912345678)
    assert (face["left"], face["top"]) == (pytest.approx(18, abs=0.2), 6)
    if name == "1.x files":
        with Image.open(tmp_path / "output" / "photo.png") as drawn:
            assert drawn.size == (WIDTH, HEIGHT)


def test_the_documented_solov2_client_reads_the_masks(
    url: str, instances: FakeBranch, photo_file: Path, tmp_path: Path
) -> None:
    found = run_client(CLIENT_2X_SOLOV2, url, photo_file, tmp_path)
    assert [(each["label"], each["area"]) for each in found] == [
        (instance.label_id, instance.area)  # type: ignore[union-attr]
        for instance in instances.results
    ]


PUBLISHED = [
    ("MASK", (455.518, 186.380, 658.829, 442.673)),
    ("MASK", (938.908, 326.986, 1121.080, 586.047)),
    ("NO MASK", (1166.190, 295.552, 1325.621, 496.941)),
]
"""PaddleHub's answer for family_mask.jpg: label, (left, top, right, bottom) in pixels."""


@pytest.fixture(scope="module")
def real_url() -> Iterator[str]:
    """The embedded models, in this process."""
    from serve_app.local import build_local
    from serve_app.settings import Settings

    pipeline = build_local(Settings(threads=1))
    with serving(paddlehub_app(pipeline, Limits(16_000_000, 8, 16_000_000))) as base:
        yield base


def assert_published(faces: list[Body]) -> None:
    assert len(faces) == 3
    for (label, sides), face in zip(PUBLISHED, sorted(faces, key=lambda face: face["left"]), strict=True):
        assert face["label"] == label
        box = Box(*(face[side] for side in ("left", "top", "right", "bottom")))
        assert box.iou(Box(*sides)) >= 0.5
        assert face["confidence"] >= 0.9


@needs_shared
@pytest.mark.parametrize("name", CLIENTS)
def test_the_published_family(real_url: str, tmp_path: Path, name: str) -> None:
    assert_published(run_client(CLIENTS[name], real_url, SHARED / "photos/family_mask.jpg", tmp_path))


def test_the_packaged_photo_has_its_face_and_its_person(real_url: str, tmp_path: Path) -> None:
    path = tmp_path / "astronaut.jpg"
    path.write_bytes(jpeg(astronaut()))
    for name, script in CLIENTS.items():
        (face,) = run_client(script, real_url, path, tmp_path)
        assert face["label"] == "NO MASK", name
    found = run_client(CLIENT_2X_SOLOV2, real_url, path, tmp_path)
    assert found[0]["label"] == 0
    assert found[0]["area"] > 512 * 512 / 10
