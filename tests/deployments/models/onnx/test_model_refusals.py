"""Files, cards and outputs that do not fit together are refused by name."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from deployments.calls import Item, ObjectDetectionOptions
from deployments.imaging.resize import prepare
from deployments.models.card import read_card
from deployments.models.onnx.model import OnnxModel
from deployments.replica import Replica
from tests.deployments.models.onnx.cards import CPU, OUTPUTS, SPOTS, answers, item, load
from tests.deployments.models.onnx.conftest import FinderFile
from tests.deployments.models.onnx.files import Finder, export
from tests.photos import astronaut


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "mask_detection", "labels": ("MASK",), "thresholds": {}}, "the card states no face_threshold"),
        ({"thresholds": {}}, "the card states no score_threshold"),
        ({"network": {"outputs": OUTPUTS}}, r"input\n +Field required"),
        (
            {"network": {"input": "images", "outputs": {"boxes": "boxes"}}},
            "needs the outputs boxes, scores, labels; the",
        ),
        (
            {"network": {"input": "images", "outputs": OUTPUTS | {"masks": "boxes"}}},
            "needs the outputs boxes, scores, ",
        ),
        (
            {"network": {"input": "images", "outputs": OUTPUTS, "masks_over": "box"}},
            "masks_over: box needs the outputs masks and boxes",
        ),
        ({"network": {"input": "image", "outputs": OUTPUTS}}, "no input 'image'; its input is 'images'"),
        (
            {"network": {"input": "images", "outputs": OUTPUTS | {"scores": "confidence"}}},
            "no output 'confidence'; its outputs are .*boxes, scores, labels",
        ),
    ],
)
def test_a_card_that_does_not_fit_is_refused(finder: FinderFile, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"(?s)^model card mine, \S+\.onnx: .*{message}"):
        load(finder(), **changes)


def test_an_input_of_another_shape_is_refused(tmp_path: Path) -> None:
    class Grey(Finder):
        def forward(self, images: Tensor) -> tuple[Tensor, ...]:
            return super().forward(images.float().expand(-1, 3, -1, -1))

    file = export(Grey(), torch.rand(1, 1, 48, 64), tmp_path / "mine.onnx")
    with pytest.raises(ValueError, match=r"input is \[1, 1, 48, 64\], not \[N, 3, H, W\] or \[3, H, W\]"):
        load(file)
    file = export(Grey(), torch.zeros(1, 3, 48, 64, dtype=torch.int64), tmp_path / "mine.onnx")
    with pytest.raises(ValueError, match="is of int64, not of floats or uint8"):
        load(file)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"boxes": "scores"}, r"output 'scores' \(boxes\) is \[1, 10\]"),
        ({"boxes": "masks"}, r"output 'masks' \(boxes\) is \[1, 10, 12, 16\]"),
        ({"scores": "boxes"}, r"output 'boxes' \(scores\) is \[1, 10, 4\]"),
        ({"labels": "boxes"}, r"output 'boxes' \(labels\) is \[1, 10, 4\]"),
        ({"scores": "labels"}, r"output 'labels' \(scores\) is of int64, not of floats"),
        ({"labels": "scores"}, r"output 'scores' \(labels\) is of float32, and not of whole numbers"),
    ],
)
def test_outputs_of_another_shape_are_named(finder: FinderFile, outputs: dict[str, str], message: str) -> None:
    model = load(finder(masks=True), network={"input": "images", "outputs": OUTPUTS | outputs})
    with pytest.raises(ValueError, match=f"model card mine: {message}"):
        answers(model, item(SPOTS, ObjectDetectionOptions()))


def test_outputs_of_another_shape_are_named_at_the_start(finder: FinderFile) -> None:
    outputs = OUTPUTS | {"boxes": "masks"}
    with pytest.raises(ValueError, match=r"model card mine: output 'masks' \(boxes\) is \[1, 10, "):
        Replica(load(finder(masks=True), network={"input": "images", "outputs": outputs}))


def test_a_label_that_the_card_does_not_have_is_named(finder: FinderFile) -> None:
    model = load(finder(), labels=("left",))
    with pytest.raises(ValueError, match="model card mine: the network answers the label 1; the card has 0 to 0"):
        answers(model, item(SPOTS, ObjectDetectionOptions()))
    (found,) = answers(model, item(SPOTS, ObjectDetectionOptions(score_threshold=0.9)))
    assert [one.label for one in found] == ["left"]


def test_the_example_card(finder: FinderFile) -> None:
    example = read_card(Path(__file__).parents[4] / "configs" / "models" / "xray_contraband.yaml")
    model = OnnxModel(example, finder(fixed=(1, 640, 640)), CPU)
    photo = astronaut()[:300]
    resized = Item(prepare(photo, example.image), item(photo, ObjectDetectionOptions()).call)
    assert model.padded_shape(resized) == (640, 640)
    (found,) = answers(model, resized)
    assert found
    assert {one.label for one in found} <= set(example.labels)
