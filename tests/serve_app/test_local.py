"""The graph in one process: with a third branch that is a model card and one setting, no code."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from torchvision.models.detection import ssdlite320_mobilenet_v3_large
from typer.testing import CliRunner

from deployments.calls import ObjectDetectionOptions
from deployments.results import Box, Detection
from serve_app.analysis import AnalyzeOptions, AnalyzeRequest, EncodedImage, ImageAnalysis
from serve_app.cli import app
from serve_app.local import build_local
from serve_app.pipeline import Pipeline
from serve_app.settings import Settings
from tests.deployments.models.torchvision_models.random_weights import random_state
from tests.photos import astronaut, china, jpeg

LABELS = ("cup", "bottle", "box")
CARD = {
    "name": "goods",
    "version": "1",
    "task": "object_detection",
    "architecture": "torchvision",
    "network": {"model": "ssdlite320_mobilenet_v3_large"},
    "weights": "goods.safetensors",
    "labels": list(LABELS),
    "image": {
        "color_order": "rgb",
        "resize": {"rule": "fixed", "height": 320, "width": 320},
        "interpolation": "bilinear",
        "mean": [127.5, 127.5, 127.5],
        "std": [127.5, 127.5, 127.5],
    },
    "thresholds": {"score_threshold": 0.1, "nms_iou": 0.55},
    "licence": "Apache-2.0",
}


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An operator's card beside weights that no training has touched."""
    folder = tmp_path_factory.mktemp("goods")
    with torch.device("meta"):
        network = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=len(LABELS) + 1)
    state = random_state(network.state_dict())
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "goods.safetensors")
    path = folder / "goods.yaml"
    path.write_text(yaml.safe_dump(CARD))
    return path


@pytest.fixture(scope="module")
def pipeline(card: Path) -> Iterator[Pipeline]:
    threads = torch.get_num_threads()
    yield build_local(Settings(object_detection=str(card), device="cpu", threads=1, timeout_s=120))
    torch.set_num_threads(threads)


async def analyze(pipeline: Pipeline, *photos: bytes, **options: Any) -> list[ImageAnalysis]:
    asked = AnalyzeOptions(("object_detection",), object_detection=ObjectDetectionOptions(**options))
    images = (await pipeline.analyze(AnalyzeRequest([EncodedImage(photo) for photo in photos], "id", asked))).images
    assert [image.errors for image in images] == [[]] * len(photos)
    return images


async def test_three_models_answer_one_request(pipeline: Pipeline) -> None:
    analysis = await pipeline.analyze(AnalyzeRequest([EncodedImage(jpeg(astronaut()))], "id"))
    assert analysis.models == {
        "mask_detection": "face_mask@1",
        "instance_segmentation": "solov2_people@1",
        "object_detection": "goods@1",
    }
    (image,) = analysis.images
    assert image.errors == []
    assert [face.label for face in image.faces] == ["NO MASK"]
    assert "person" in [instance.label for instance in image.instances]
    assert image.objects


async def test_objects_are_in_pixels_of_the_photo_best_first(pipeline: Pipeline) -> None:
    (image,) = await analyze(pipeline, jpeg(china()))
    whole = Box(0, 0, 640, 427)
    for found in image.objects:
        assert found.label == LABELS[found.label_id]
        assert 0.1 <= found.score <= 1
        assert found.box.intersection(whole) == pytest.approx(found.box.area)
    scores = [found.score for found in image.objects]
    assert scores == sorted(scores, reverse=True)
    assert max(found.box.right for found in image.objects) > 320, "not in pixels of the network's input"


async def test_a_request_sets_scores_overlap_classes_and_number(pipeline: Pipeline) -> None:
    photo = jpeg(astronaut())
    (image,) = await analyze(pipeline, photo)
    everything: list[Detection] = list(image.objects)
    middle = everything[len(everything) // 2].score
    (image,) = await analyze(pipeline, photo, score_threshold=middle)
    assert 0 < len(image.objects) < len(everything)
    assert min(found.score for found in image.objects) >= middle
    (image,) = await analyze(pipeline, photo, max_objects=3)
    assert list(image.objects) == everything[:3]
    wanted = everything[0].label
    assert {found.label for found in everything} > {wanted}
    (image,) = await analyze(pipeline, photo, classes=(wanted,))
    assert {found.label for found in image.objects} == {wanted}
    (image,) = await analyze(pipeline, photo, classes=("unicorn",))
    assert list(image.objects) == []
    overlaps = {}
    for nms_iou in (0.1, 0.9):
        (image,) = await analyze(pipeline, photo, nms_iou=nms_iou)
        objects = list(image.objects)
        overlaps[nms_iou] = [
            one.box.iou(other.box)
            for index, one in enumerate(objects)
            for other in objects[:index]
            if one.label == other.label
        ]
    assert max(overlaps[0.1]) <= 0.1 + 1e-3
    assert max(overlaps[0.9]) > 0.55


async def test_a_photo_among_others_is_answered_as_alone(pipeline: Pipeline) -> None:
    photos = [jpeg(astronaut()), jpeg(china())]
    alone = [(await analyze(pipeline, photo))[0].objects for photo in photos]
    for image, expected in zip(await analyze(pipeline, *photos * 2), alone * 2, strict=True):
        assert [found.label for found in image.objects] == [found.label for found in expected]
        for found, other in zip(image.objects, expected, strict=True):
            assert found.score == pytest.approx(other.score, abs=1e-4)
            assert found.box.iou(other.box) > 0.99


def test_the_command_takes_the_card(card: Path, tmp_path: Path) -> None:
    (tmp_path / "china.jpg").write_bytes(jpeg(china()))
    answer, drawn = tmp_path / "answer.jsonl", tmp_path / "drawn"
    command = ["predict", str(tmp_path / "china.jpg"), "--output", str(answer), "--draw", str(drawn)]
    result = CliRunner().invoke(app, [*command, "--object-detection", str(card)])
    assert result.exit_code == 0, result.output
    assert "objects" in result.output
    line = json.loads(answer.read_bytes())
    assert line["models"]["object_detection"] == "goods@1"
    assert line["objects"][0]["label"] in LABELS
    assert Image.open(drawn / "china.jpg").size == (640, 427)
