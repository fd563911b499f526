from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from deployments.calls import (
    Call,
    InstanceSegmentationOptions,
    Item,
    MaskDetectionOptions,
    ObjectDetectionOptions,
    TaskOptions,
)
from deployments.imaging.masks import decode_rle
from deployments.imaging.resize import prepare
from deployments.imaging.spec import ImageSpec, MaxSide
from deployments.models.card import ModelCard, read_card
from deployments.models.exported.model import ExportedModel, full_size_masks
from deployments.results import Box, Detection, Instance
from tests.deployments.models.exported.programs import Finder, archive, save, with_json, written
from tests.photos import astronaut

CPU = torch.device("cpu")
OUTPUTS = {"boxes": "boxes", "scores": "scores", "labels": "labels"}


def card(**changes: Any) -> ModelCard:
    masks = changes.get("task") == "instance_segmentation"
    fields: dict[str, Any] = {
        "name": "mine",
        "version": "1",
        "task": "object_detection",
        "architecture": "exported",
        "network": {"input": "images", "outputs": OUTPUTS | ({"masks": "masks"} if masks else {})},
        "weights": "mine.pt2",
        "labels": ("left", "right"),
        "image": ImageSpec(
            color_order="rgb",
            resize=MaxSide(rule="max_side", long_side=64),
            interpolation="bilinear",
            pad_multiple=16,
            mean=(0, 0, 0),
            std=(1, 1, 1),
            scale=1 / 255,
        ),
        "thresholds": {"score_threshold": 0.3},
        "licence": "none",
    }
    return ModelCard.model_validate(fields | changes)


def load(path: Path, data: bytes, **changes: Any) -> ExportedModel:
    return ExportedModel(card(**changes), written(path / "mine.pt2", data), CPU)


def picture(height: int, width: int, *spots: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Black, but for pixels at (left, top) of a grey level: a Finder sees those whose sides are multiples of 8."""
    image = np.zeros((height, width, 3), np.uint8)
    for left, top, grey in spots:
        image[top, left] = grey
    return image


def item(image: NDArray[np.uint8], options: TaskOptions, scale: int = 1) -> Item:
    height, width = image.shape[:2]
    return Item(image, Call(height * scale, width * scale, options, deadline=float("inf"), request_id="test"))


def answers(model: ExportedModel, *items: Item) -> list[Any]:
    return [model.finish(one, raw) for one, raw in zip(items, model.run(model.collate(list(items))), strict=True)]


def shown(found: list[Detection]) -> list[tuple[str, float, float]]:
    return [(one.label, one.box.left, one.box.top) for one in found]


SPOTS = picture(48, 64, (8, 16, 255), (32, 8, 204), (40, 8, 153), (0, 40, 51))


@pytest.mark.parametrize("fixed", [None, (1, 48, 64), (1, 64, 80), (2, 48, 64), (4, 48, 64)])
def test_objects_of_a_batch(tmp_path: Path, fixed: tuple[int, int, int] | None) -> None:
    model = load(tmp_path, archive(fixed=fixed))
    options = [
        ObjectDetectionOptions(),
        ObjectDetectionOptions(score_threshold=0.7),
        ObjectDetectionOptions(classes=("left",), score_threshold=0.1),
    ]
    usual, sure, left = answers(model, *(item(SPOTS, each) for each in options))
    assert shown(usual) == [("left", 6, 14), ("right", 30, 6), ("right", 38, 6)]
    assert [one.score for one in usual] == pytest.approx([1, 0.8, 0.6])
    assert usual[0].box == Box(6, 14, 18, 26)
    assert sure == usual[:2]
    assert shown(left) == [("left", 6, 14), ("left", 0, 38)]
    assert left[1].box.bottom == 48  # cut at the border


def test_overlaps_are_thinned_out_as_each_request_asks(tmp_path: Path) -> None:
    model = load(tmp_path, archive())
    asked = [ObjectDetectionOptions(nms_iou=0.1), ObjectDetectionOptions(nms_iou=0.9), ObjectDetectionOptions()]
    apart, close, all_of_them = answers(model, *(item(SPOTS, each) for each in asked))
    assert shown(apart) == [("left", 6, 14), ("right", 30, 6)]
    assert close == all_of_them
    assert len(close) == 3
    by_card = load(tmp_path, archive(), thresholds={"score_threshold": 0.3, "nms_iou": 0.1})
    assert answers(by_card, item(SPOTS, ObjectDetectionOptions())) == [apart]


def test_what_scores_nothing_is_padding(tmp_path: Path) -> None:
    model = load(tmp_path, archive())
    (found,) = answers(model, item(SPOTS, ObjectDetectionOptions(score_threshold=0.0)))
    assert len(found) == 4


def test_the_most_that_are_answered(tmp_path: Path) -> None:
    model = load(tmp_path, archive(), network={"input": "images", "outputs": OUTPUTS, "detections_per_image": 2})
    three, one = answers(model, *(item(SPOTS, ObjectDetectionOptions(max_objects=n)) for n in (3, 1)))
    assert len(three) == 2
    assert one == three[:1]


def test_boxes_are_in_pixels_of_the_original(tmp_path: Path) -> None:
    model = load(tmp_path, archive())
    (found,) = answers(model, item(SPOTS, ObjectDetectionOptions(max_objects=1), scale=3))
    assert found[0].box == Box(18, 42, 54, 78)


@pytest.mark.parametrize("fixed", [None, (1, 64, 80)])
def test_masks_are_in_pixels_of_the_original(tmp_path: Path, fixed: tuple[int, int, int] | None) -> None:
    model = load(tmp_path, archive(masks=True, fixed=fixed), task="instance_segmentation")
    (found,) = answers(model, item(SPOTS, InstanceSegmentationOptions(max_instances=2), scale=3))
    assert [one.label for one in found] == ["left", "right"]
    one = found[0]
    assert isinstance(one, Instance)
    mask = decode_rle(one.mask)
    assert mask.shape == (144, 192)
    expected = np.zeros((144, 192), bool)
    expected[16 * 3 : 24 * 3, 8 * 3 : 16 * 3] = True
    # the program's masks have a quarter of its resolution, which leaves a pixel open at each edge
    assert np.count_nonzero(mask & expected) / np.count_nonzero(mask | expected) >= 0.85
    assert one.area == mask.sum()


def test_masks_leave_the_padding_out() -> None:
    soft = torch.zeros(1, 4, 8)
    soft[:, :2, :4] = 1
    (mask,) = full_size_masks(soft, padded=(32, 64), resized=(16, 32), original=(160, 320))
    assert mask.shape == (160, 320)
    assert mask.float().mean() > 0.95


def test_alone_and_in_a_batch_are_the_same(tmp_path: Path) -> None:
    model = load(tmp_path, archive())
    other = picture(41, 50, (8, 8, 200), (48, 40, 100))
    items = [item(each, ObjectDetectionOptions()) for each in (SPOTS, other, SPOTS[::-1].copy())]
    assert {model.padded_shape(each) for each in items} == {(48, 64)}
    assert answers(model, *items) == [answers(model, each)[0] for each in items]


def test_a_program_of_uint8_normalises_itself(tmp_path: Path) -> None:
    class Levels(Finder):
        def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            return super().forward(images.float() / 255)

    data = save(Levels(), torch.zeros(1, 3, 48, 64, dtype=torch.uint8))
    spec = card().image.model_copy(update={"scale": 1.0})
    (found,) = answers(load(tmp_path, data, image=spec), item(SPOTS, ObjectDetectionOptions()))
    assert [one.score for one in found] == pytest.approx([1, 0.8, 0.6])


def test_faces(tmp_path: Path) -> None:
    labels, thresholds = ("NO MASK", "MASK"), {"face_threshold": 0.3}
    model = load(tmp_path, archive(), task="mask_detection", labels=labels, thresholds=thresholds)
    (found,) = answers(model, item(SPOTS, MaskDetectionOptions()))
    objects = load(tmp_path, archive(), labels=labels)
    (boxes,) = answers(objects, item(SPOTS, ObjectDetectionOptions()))
    assert {face.label for face in found} == set(labels)
    assert [(face.label, face.box, face.face_score) for face in found] == [
        (one.label, one.box, one.score) for one in boxes
    ]
    (sure,) = answers(model, item(SPOTS, MaskDetectionOptions(face_threshold=0.9)))
    assert sure == found[:1]


def test_a_picture_that_does_not_fit_is_named(tmp_path: Path) -> None:
    model = load(tmp_path, archive(fixed=(1, 32, 64)))
    with pytest.raises(ValueError, match="a picture resized to 48x64 is larger than the 32x64 that the program takes"):
        model.padded_shape(item(SPOTS, ObjectDetectionOptions()))


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
        ({"network": {"input": "image", "outputs": OUTPUTS}}, "no input 'image'; its input is 'images'"),
        (
            {"network": {"input": "images", "outputs": OUTPUTS | {"scores": "confidence"}}},
            "no output 'confidence'; its outputs are .*boxes, scores, labels",
        ),
    ],
)
def test_a_card_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"(?s)^model card mine, mine\.pt2: .*{message}"):
        load(tmp_path, archive(), **changes)


def test_an_input_of_another_shape_is_refused(tmp_path: Path) -> None:
    def grey(document: Any) -> None:
        document["graph_module"]["graph"]["tensor_values"]["images"]["sizes"][1] = {"as_int": 1}

    with pytest.raises(ValueError, match=r"input is \[any, 1, any, any\], not \[N, 3, H, W\]"):
        load(tmp_path, with_json(archive(), grey))

    def integers(document: Any) -> None:
        document["graph_module"]["graph"]["tensor_values"]["images"]["dtype"] = 5

    with pytest.raises(ValueError, match=r"is of torch\.int64, not of floats or uint8"):
        load(tmp_path, with_json(archive(), integers))


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"boxes": "scores"}, r"the program's boxes are \[1, 10\]"),
        ({"scores": "boxes"}, r"the program's scores are \[1, 10, 4\]"),
        ({"labels": "boxes"}, r"the program's labels are \[1, 10, 4\]"),
        ({"labels": "scores"}, r"labels are of torch\.float32, not integers"),
    ],
)
def test_outputs_of_another_shape_are_named(tmp_path: Path, outputs: dict[str, str], message: str) -> None:
    model = load(tmp_path, archive(), network={"input": "images", "outputs": OUTPUTS | outputs})
    with pytest.raises(ValueError, match=message):
        answers(model, item(SPOTS, ObjectDetectionOptions()))


def test_a_label_that_the_card_does_not_have_is_named(tmp_path: Path) -> None:
    model = load(tmp_path, archive(), labels=("left",))
    with pytest.raises(ValueError, match="the program answers the label 1; the card has 0 to 0"):
        answers(model, item(SPOTS, ObjectDetectionOptions()))
    (found,) = answers(model, item(SPOTS, ObjectDetectionOptions(score_threshold=0.9)))
    assert [one.label for one in found] == ["left"]


def test_another_precision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="model card mine: an exported program has its own precision"):
        _ = load(tmp_path, archive()).networks


def test_the_example_card(tmp_path: Path) -> None:
    example = read_card(Path(__file__).parents[4] / "configs" / "models" / "xray_contraband.yaml")
    program = written(tmp_path / "mine.pt2", archive(fixed=(1, 640, 640)))
    model = ExportedModel(example, program, CPU)
    photo = astronaut()[:300]
    resized = Item(prepare(photo, example.image), item(photo, ObjectDetectionOptions()).call)
    assert model.padded_shape(resized) == (640, 640)
    (found,) = answers(model, resized)
    assert found
    assert {one.label for one in found} <= set(example.labels)
