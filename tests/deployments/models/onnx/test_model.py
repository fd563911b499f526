from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.ops import box_convert

from deployments.calls import InstanceSegmentationOptions, MaskDetectionOptions, ObjectDetectionOptions
from deployments.imaging.rle import decode_rle, rle_area
from deployments.models.onnx.model import OnnxModel, full_size_rles
from deployments.models.onnx.network import BoxForm
from deployments.results import Box, Detection, Instance
from tests.deployments.models.onnx.cards import OUTPUTS, SPOTS, answers, card, item, load, picture
from tests.deployments.models.onnx.conftest import FinderFile
from tests.deployments.models.onnx.files import Finder, export


def shown(found: list[Detection]) -> list[tuple[str, float, float]]:
    return [(one.label, one.box.left, one.box.top) for one in found]


@pytest.mark.parametrize("fixed", [None, (1, 48, 64), (1, 64, 80), (2, 48, 64), (4, 48, 64)])
def test_objects_of_a_batch(finder: FinderFile, fixed: tuple[int, int, int] | None) -> None:
    model = load(finder(fixed=fixed))
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


def test_overlaps_are_thinned_out_as_each_request_asks(finder: FinderFile) -> None:
    model = load(finder())
    asked = [ObjectDetectionOptions(nms_iou=0.1), ObjectDetectionOptions(nms_iou=0.9), ObjectDetectionOptions()]
    apart, close, all_of_them = answers(model, *(item(SPOTS, each) for each in asked))
    assert shown(apart) == [("left", 6, 14), ("right", 30, 6)]
    assert close == all_of_them
    assert len(close) == 3
    by_card = load(finder(), thresholds={"score_threshold": 0.3, "nms_iou": 0.1})
    assert answers(by_card, item(SPOTS, ObjectDetectionOptions())) == [apart]


def test_what_scores_nothing_is_padding(finder: FinderFile) -> None:
    model = load(finder())
    (found,) = answers(model, item(SPOTS, ObjectDetectionOptions(score_threshold=0.0)))
    assert len(found) == 4


def test_the_most_that_are_answered(finder: FinderFile) -> None:
    model = load(finder(), network={"input": "images", "outputs": OUTPUTS, "detections_per_image": 2})
    three, one = answers(model, *(item(SPOTS, ObjectDetectionOptions(max_objects=n)) for n in (3, 1)))
    assert len(three) == 2
    assert one == three[:1]


def test_boxes_are_in_pixels_of_the_original(finder: FinderFile) -> None:
    model = load(finder())
    (found,) = answers(model, item(SPOTS, ObjectDetectionOptions(max_objects=1), scale=3))
    assert found[0].box == Box(18, 42, 54, 78)


@pytest.mark.parametrize("fixed", [None, (1, 64, 80)])
def test_masks_are_in_pixels_of_the_original(finder: FinderFile, fixed: tuple[int, int, int] | None) -> None:
    model = load(finder(masks=True, fixed=fixed), task="instance_segmentation")
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
    (rle,) = full_size_rles(soft, padded=(32, 64), resized=(16, 32), original=(160, 320))
    assert rle["size"] == [160, 320]
    assert rle_area(rle) > 0.95 * 160 * 320


def test_alone_and_in_a_batch_are_the_same(finder: FinderFile) -> None:
    model = load(finder())
    other = picture(41, 50, (8, 8, 200), (48, 40, 100))
    items = [item(each, ObjectDetectionOptions()) for each in (SPOTS, other, SPOTS[::-1].copy())]
    assert {model.padded_shape(each) for each in items} == {(48, 64)}
    assert answers(model, *items) == [answers(model, each)[0] for each in items]


class Levels(Finder):
    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return super().forward(images.float() / 255)


def test_a_network_of_uint8_normalises_itself(tmp_path: Path) -> None:
    file = export(Levels(), torch.zeros(1, 3, 48, 64, dtype=torch.uint8), tmp_path / "mine.onnx")
    spec = card().image.model_copy(update={"scale": 1.0})
    (found,) = answers(load(file, image=spec), item(SPOTS, ObjectDetectionOptions()))
    assert [one.score for one in found] == pytest.approx([1, 0.8, 0.6])
    with pytest.raises(ValueError, match=r"takes uint8: the card's scale and std must be 1, its mean 0"):
        load(file)


def test_faces(finder: FinderFile) -> None:
    labels, thresholds = ("NO MASK", "MASK"), {"face_threshold": 0.3}
    model = load(finder(), task="mask_detection", labels=labels, thresholds=thresholds)
    (found,) = answers(model, item(SPOTS, MaskDetectionOptions()))
    objects = load(finder(), labels=labels)
    (boxes,) = answers(objects, item(SPOTS, ObjectDetectionOptions()))
    assert {face.label for face in found} == set(labels)
    assert [(face.label, face.box, face.face_score) for face in found] == [
        (one.label, one.box, one.score) for one in boxes
    ]
    (sure,) = answers(model, item(SPOTS, MaskDetectionOptions(face_threshold=0.9)))
    assert sure == found[:1]


def test_a_picture_that_does_not_fit_is_named(finder: FinderFile) -> None:
    model = load(finder(fixed=(1, 32, 64)))
    with pytest.raises(ValueError, match="a picture resized to 48x64 is larger than the 32x64 that the network takes"):
        model.padded_shape(item(SPOTS, ObjectDetectionOptions()))


class Formed(Finder):
    """A Finder whose boxes, labels and masks are in other forms."""

    def __init__(self, form: str, unit: str, first_label: int, masks_over: str, single: bool) -> None:
        super().__init__(masks=True)
        self.form, self.unit, self.first_label, self.masks_over, self.single = (
            form,
            unit,
            first_label,
            masks_over,
            single,
        )

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        boxes, scores, labels, masks = super().forward(images[None] if self.single else images)
        if self.form == "yxyx":
            boxes = boxes[..., [1, 0, 3, 2]]
        elif self.form != "xyxy":
            boxes = box_convert(boxes, "xyxy", self.form)
        if self.unit == "fraction":
            boxes = boxes / torch.tensor([64.0, 48.0, 64.0, 48.0])
            if self.form == "yxyx":
                boxes = boxes * torch.tensor([64 / 48, 48 / 64, 64 / 48, 48 / 64])
        if self.masks_over == "box":  # of the middle 8 of 12 pixels each way
            masks = torch.zeros(1, 1, 12, 12)
            masks[..., 2:10, 2:10] = 1
            masks = masks.expand(boxes.shape[0], boxes.shape[1], 12, 12)
        labels = labels + self.first_label
        if self.single:
            return boxes[0], scores[0], labels[0].float(), masks[0][:, None]
        return boxes, scores, labels, masks


@pytest.mark.parametrize(
    ("form", "unit", "first_label", "masks_over", "single"),
    [
        ("xyxy", "pixels", 0, "picture", False),
        ("xyxy", "pixels", 1, "picture", True),
        ("cxcywh", "fraction", 0, "picture", False),
        ("xywh", "pixels", 3, "box", False),
        ("yxyx", "fraction", 1, "box", True),
    ],
)
def test_every_form_gives_the_same_answer(
    tmp_path: Path, form: BoxForm, unit: str, first_label: int, masks_over: str, single: bool
) -> None:
    images = torch.rand(3, 48, 64) if single else torch.rand(1, 3, 48, 64)
    names = ("boxes", "scores", "labels", "masks")
    file = export(Formed(form, unit, first_label, masks_over, single), images, tmp_path / "mine.onnx", names)
    forms = {"box_form": form, "box_unit": unit, "first_label": first_label}
    network = {"input": "images", "outputs": OUTPUTS | {"masks": "masks"}, **forms, "masks_over": masks_over}
    asked = [ObjectDetectionOptions(), ObjectDetectionOptions(max_objects=1)]
    boxes_only = load(file, network={"input": "images", "outputs": OUTPUTS, **forms})
    found = answers(boxes_only, *(item(SPOTS, each) for each in asked))
    assert [one.label for one in found[0]] == ["left", "right", "right"]
    box = found[0][0].box
    assert (box.left, box.top, box.right, box.bottom) == pytest.approx((6, 14, 18, 26), abs=1e-4)
    assert found[1] == found[0][:1]
    model = load(file, task="instance_segmentation", network=network)
    (instances,) = answers(model, item(SPOTS, InstanceSegmentationOptions(max_instances=2), scale=3))
    assert [one.label for one in instances] == ["left", "right"]
    expected = np.zeros((144, 192), bool)
    expected[16 * 3 : 24 * 3, 8 * 3 : 16 * 3] = True
    mask = decode_rle(instances[0].mask)
    assert np.count_nonzero(mask & expected) / np.count_nonzero(mask | expected) >= 0.85


def test_the_background_is_left_out(finder: FinderFile) -> None:
    model = load(finder(), labels=("right",), network={"input": "images", "outputs": OUTPUTS, "first_label": 1})
    (found,) = answers(model, item(SPOTS, ObjectDetectionOptions()))
    assert shown(found) == [("right", 30, 6), ("right", 38, 6)]


def test_masks_over_the_picture_need_no_boxes(finder: FinderFile) -> None:
    def answered(**outputs: str) -> list[Instance]:
        model = load(finder(masks=True), task="instance_segmentation", network={"input": "images", "outputs": outputs})
        (found,) = answers(model, item(SPOTS, InstanceSegmentationOptions()))
        return found

    some = {"scores": "scores", "labels": "labels", "masks": "masks"}
    assert answered(**some) == answered(**some, boxes="boxes")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_answers_as_the_cpu_does(finder: FinderFile) -> None:
    pytest.importorskip("openvino")
    if "CUDAExecutionProvider" not in pytest.importorskip("onnxruntime").get_available_providers():
        pytest.skip("no ONNX Runtime for CUDA here")
    on_cuda = OnnxModel(card(), finder(), torch.device("cuda"))
    one = item(SPOTS, ObjectDetectionOptions())
    for found, expected in zip(answers(on_cuda, one, one), answers(load(finder()), one, one), strict=True):
        assert shown(found) == shown(expected)
