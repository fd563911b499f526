from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from deployments.calls import Call, Item, ObjectDetectionOptions
from deployments.imaging.resize import prepare
from deployments.models.load import load
from deployments.models.onnx.model import OnnxModel
from deployments.models.torchvision_models.model import TorchvisionModel
from deployments.models.torchvision_models.networks import Network, build
from deployments.replica import Replica
from tests.deployments.models.onnx.files import Finder, export
from tests.deployments.models.torchvision_models.random_weights import random_state
from tests.photos import astronaut

SSDLITE = {"model": "ssdlite320_mobilenet_v3_large"}
ALL_CARDS = {
    "name": "mine",
    "version": "1",
    "task": "object_detection",
    "weights": "weights.bin",
    "labels": ["cat", "dog"],
    "image": {
        "color_order": "rgb",
        "resize": {"rule": "fixed", "height": 320, "width": 320},
        "interpolation": "bilinear",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "scale": 1 / 255,
    },
    "thresholds": {"score_threshold": 0.1, "nms_iou": 0.5},
    "licence": "none",
}


def card(folder: Path, **fields: Any) -> str:
    (folder / "mine.yaml").write_text(yaml.safe_dump(ALL_CARDS | fields))
    return str(folder / "mine.yaml")


@pytest.fixture
def torchvision_card(tmp_path: Path) -> str:
    torch.save(random_state(build(Network.model_validate(SSDLITE), 2).state_dict()), tmp_path / "weights.bin")
    return card(tmp_path, architecture="torchvision", network=SSDLITE)


@pytest.fixture
def onnx_card(tmp_path: Path) -> str:
    export(Finder(), torch.rand(2, 3, 64, 64), tmp_path / "weights.bin", free=(0, 2, 3))
    outputs = {name: name for name in ("boxes", "scores", "labels")}
    return card(tmp_path, architecture="onnx", network={"input": "images", "outputs": outputs})


@pytest.mark.parametrize(("name", "kind"), [("torchvision_card", TorchvisionModel), ("onnx_card", OnnxModel)])
async def test_other_architectures_are_served_by_a_card_alone(
    request: pytest.FixtureRequest, name: str, kind: type[Any]
) -> None:
    model = load(request.getfixturevalue(name), "object_detection", "cpu", threads=1, engine="eager")
    assert isinstance(model, kind)
    replica = Replica(model)
    image = astronaut()
    call = Call(*image.shape[:2], ObjectDetectionOptions(max_objects=5), deadline=float("inf"), request_id="test")
    answer = await replica(prepare(image, model.card.image), call)
    assert len(answer.results) == 5
    for found in answer.results:
        assert found.label in ("cat", "dog")
        assert 0 <= found.box.left < found.box.right <= 512
    await replica.close()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("name", ["torchvision_card", "onnx_card"])
def test_cuda_answers_as_the_cpu_does(request: pytest.FixtureRequest, name: str) -> None:
    if name == "onnx_card":
        pytest.importorskip("openvino")
        if "CUDAExecutionProvider" not in pytest.importorskip("onnxruntime").get_available_providers():
            pytest.skip("no ONNX Runtime for CUDA here")
    answers = []
    for device in ("cpu", "cuda"):
        model = load(request.getfixturevalue(name), "object_detection", device, threads=1)
        image = astronaut()
        call = Call(*image.shape[:2], ObjectDetectionOptions(max_objects=20), float("inf"), "test")
        item = Item(prepare(image, model.card.image), call)
        answers.append(model.finish(item, model.run(model.collate([item]))[0]))
    assert answers[0]
    assert len(answers[0]) == len(answers[1])
    for one in answers[0]:  # random weights give scores so near each other that their order is chance
        other = max(answers[1], key=lambda found: (found.label == one.label, one.box.iou(found.box)))
        assert abs(one.score - other.score) < 1e-3
        assert one.box.iou(other.box) > 0.99


def test_an_onnx_file_has_its_own_precision(onnx_card: str) -> None:
    with pytest.raises(ValueError, match="an ONNX file has its own precision"):
        load(onnx_card, "object_detection", "cpu", threads=1, precision="bfloat16")


def test_a_card_for_another_task_is_refused(torchvision_card: str) -> None:
    with pytest.raises(ValueError, match="model card mine is for object_detection, not for mask_detection"):
        load(torchvision_card, "mask_detection", "cpu", threads=1)
