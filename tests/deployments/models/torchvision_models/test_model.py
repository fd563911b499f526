"""torchvision's own forward, resizing and all, is what every model is held against."""

from copy import copy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from deployments.calls import (
    Call,
    InstanceSegmentationOptions,
    Item,
    MaskDetectionOptions,
    ObjectDetectionOptions,
    TaskOptions,
)
from deployments.imaging.resize import prepare
from deployments.imaging.rle import decode_rle
from deployments.imaging.spec import Fixed, ImageSpec, KeepRatio
from deployments.models.card import ModelCard
from deployments.models.checkpoints.tensor_files import TensorFile
from deployments.models.torchvision_models import networks
from deployments.models.torchvision_models.model import TorchvisionModel
from deployments.models.torchvision_models.networks import Network, build
from deployments.results import Detection, Instance
from tests.deployments.models.torchvision_models.random_weights import random_state
from tests.photos import astronaut, china

LABELS = ("cat", "dog", "cow")
SHORT, LONG = 96, 160
PROPOSALS = 60
"""Few, because their heads take most of the time."""
IMAGENET: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "scale": 1 / 255}
PYRAMID = ImageSpec(
    color_order="rgb",
    resize=KeepRatio(rule="keep_ratio", short_side=SHORT, long_side=LONG),
    interpolation="bilinear",
    pad_multiple=32,
    **IMAGENET,
)
SPECS = {
    "fasterrcnn_resnet50_fpn": PYRAMID,
    "fasterrcnn_resnet50_fpn_v2": PYRAMID,
    "maskrcnn_resnet50_fpn": PYRAMID,
    "maskrcnn_resnet50_fpn_v2": PYRAMID,
    "retinanet_resnet50_fpn": PYRAMID,
    "retinanet_resnet50_fpn_v2": PYRAMID,
    "ssd300_vgg16": ImageSpec(
        color_order="rgb",
        resize=Fixed(rule="fixed", height=300, width=300),
        interpolation="bilinear",
        mean=(0.48235, 0.45882, 0.40784),
        std=(1 / 255, 1 / 255, 1 / 255),
        scale=1 / 255,
    ),
    "ssdlite320_mobilenet_v3_large": ImageSpec(
        color_order="rgb",
        resize=Fixed(rule="fixed", height=320, width=320),
        interpolation="bilinear",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        scale=1 / 255,
    ),
}


@cache
def make(name: str) -> TorchvisionModel:
    """A model with random weights that find ten objects at most."""
    network = Network.model_validate({"model": name, "detections_per_image": 10})
    card = ModelCard(
        name="mine",
        version="1",
        task=network.tasks[0],
        architecture="torchvision",
        network=network.model_dump(exclude_defaults=True),
        weights="mine.pth",
        labels=LABELS,
        image=SPECS[name],
        thresholds={"score_threshold": 0.1},
        licence="none",
    )
    state = random_state(build(network, len(LABELS)).state_dict())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "read_tensor_file", lambda path: TensorFile("torch", state))
        model = TorchvisionModel(card, Path("mine.pth"), torch.device("cpu"))
    limit_proposals(model.network)
    return model


def limit_proposals(network: Any) -> None:
    if hasattr(network, "rpn"):
        network.rpn._post_nms_top_n["testing"] = PROPOSALS


@pytest.fixture(scope="module", params=SPECS)
def model(request: pytest.FixtureRequest) -> TorchvisionModel:
    return make(request.param)


@pytest.fixture(scope="module", params=["maskrcnn_resnet50_fpn", "retinanet_resnet50_fpn_v2"])
def pyramid(request: pytest.FixtureRequest) -> TorchvisionModel:
    """One of each kind that takes pictures of several sizes."""
    return make(request.param)


@pytest.fixture(scope="module")
def detector() -> TorchvisionModel:
    return make("ssdlite320_mobilenet_v3_large")


def item(model: TorchvisionModel, image: NDArray[np.uint8], options: TaskOptions | None = None) -> Item:
    if options is None:
        masks = model.card.task == "instance_segmentation"
        options = InstanceSegmentationOptions() if masks else ObjectDetectionOptions()
    call = Call(image.shape[0], image.shape[1], options, deadline=float("inf"), request_id="test")
    return Item(prepare(image, model.card.image), call)


def answers(model: TorchvisionModel, *items: Item) -> list[Any]:
    return [model.finish(one, raw) for one, raw in zip(items, model.run(model.collate(list(items))), strict=True)]


@torch.inference_mode()
def torchvision_answer(model: TorchvisionModel, image: NDArray[np.uint8]) -> dict[str, Tensor]:
    """Of a network of torchvision's own with the same weights, thresholds, and bound."""
    network: Any = build(Network.model_validate(model.card.network), len(LABELS))
    network.load_state_dict(model.network.state_dict(), assign=True)
    if model.card.image is PYRAMID:
        network.transform.min_size, network.transform.max_size = (SHORT,), LONG
    limit_proposals(network)
    heads = getattr(network, "roi_heads", network)
    heads.score_thresh, heads.detections_per_img = 0.1, 40
    (answer,) = network([torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255])
    boxes = answer["boxes"]
    # Label 0 is the background, which RetinaNet may answer; an empty box finds nothing.
    rows = (answer["labels"] > 0) & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return {name: value[rows][:10] for name, value in answer.items()}


def fitting(model: TorchvisionModel, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A part of the picture that has the network's input size, so that nothing is resized."""
    size = (SHORT, 120) if model.card.image is PYRAMID else model.card.image.resized_size(1, 1)
    return image[: size[0], : size[1]].copy()


def test_answers_are_torchvisions(model: TorchvisionModel) -> None:
    image = fitting(model, astronaut())
    (found,) = answers(model, item(model, image))
    expected = torchvision_answer(model, image)
    assert len(found) >= 5
    assert [one.label for one in found] == [LABELS[label - 1] for label in expected["labels"]]
    assert [one.label_id for one in found] == [label - 1 for label in expected["labels"]]
    np.testing.assert_allclose([one.score for one in found], expected["scores"], atol=1e-5)
    if "masks" not in expected:
        sides = [[one.box.left, one.box.top, one.box.right, one.box.bottom] for one in found]
        np.testing.assert_allclose(sides, expected["boxes"], atol=0.1)
        return
    for one, soft in zip(found, expected["masks"], strict=True):
        assert isinstance(one, Instance)
        mask = decode_rle(one.mask)
        assert mask.shape == image.shape[:2]
        assert one.area == mask.sum()
        clear = (soft[0] - 0.5).abs() > 1e-3
        np.testing.assert_array_equal(mask[clear], (soft[0] > 0.5)[clear])


def test_answers_are_in_pixels_of_the_original(pyramid: TorchvisionModel) -> None:
    model, image = pyramid, fitting(pyramid, astronaut())
    height, width = image.shape[:2]
    small = item(model, image)
    (raw,) = model.run(model.collate([small]))
    call = replace(small.call, height=2 * height, width=3 * width)
    found = model.finish(Item(image, call), raw)
    parts = {"boxes": raw.boxes} if raw.masks is None else {"boxes": raw.boxes, "masks": raw.masks[:, None]}
    (expected,) = model.network.transform.postprocess([parts], [(height, width)], [(2 * height, 3 * width)])
    assert len(found) == len(raw.boxes) >= 5
    for i, one in enumerate(found):
        if isinstance(one, Detection):
            sides = [one.box.left, one.box.top, one.box.right, one.box.bottom]
            np.testing.assert_allclose(sides, expected["boxes"][i], atol=0.01)
        else:
            np.testing.assert_array_equal(decode_rle(one.mask), expected["masks"][i, 0] > 0.5)


def test_alone_and_in_a_batch_are_the_same(pyramid: TorchvisionModel) -> None:
    images = [astronaut()[:96, :120], china()[:90, :128], china()[100:180, 100:201]]
    options = item(pyramid, images[0]).call.options
    items = [Item(image.copy(), Call(*image.shape[:2], options, float("inf"), "test")) for image in images]
    assert {pyramid.padded_shape(one) for one in items} == {(96, 128)}
    for one, together in zip(items, answers(pyramid, *items), strict=True):
        (alone,) = answers(pyramid, one)
        assert alone
        assert [each.label for each in alone] == [each.label for each in together]
        np.testing.assert_allclose([a.score for a in alone], [a.score for a in together], atol=1e-4)
        assert all(a.box.iou(b.box) > 0.99 for a, b in zip(alone, together, strict=True))


def test_each_request_of_a_batch_has_its_own_options(detector: TorchvisionModel) -> None:
    image = astronaut()
    options = [
        ObjectDetectionOptions(),
        ObjectDetectionOptions(score_threshold=0.5),
        ObjectDetectionOptions(nms_iou=0.1),
        ObjectDetectionOptions(classes=("dog",)),
        ObjectDetectionOptions(classes=()),
        ObjectDetectionOptions(max_objects=3),
        ObjectDetectionOptions(max_objects=1000),
    ]
    items = [item(detector, image, each) for each in options]
    mixed = answers(detector, *items)
    for place, one in enumerate(items):
        # Among seven of its own kind, since random weights make ties that another batch size breaks otherwise.
        assert answers(detector, *[one] * len(items))[place] == mixed[place]
    usual, sure, apart, dogs, none, three, many = mixed
    assert usual
    assert all(d.score >= 0.5 for d in sure)
    assert len(dogs) == 10 > sum(d.label == "dog" for d in usual)  # classes are chosen before the best are counted
    assert {d.label for d in dogs} == {"dog"}
    assert none == []
    assert [d.score for d in three] == [d.score for d in usual[:3]]
    assert len(many) == 10
    assert max_overlap(apart) <= 0.1 < max_overlap(usual) <= 0.55


def max_overlap(found: list[Detection]) -> float:
    pairs = [(a, b) for i, a in enumerate(found) for b in found[:i] if a.label == b.label]
    return max((a.box.iou(b.box) for a, b in pairs), default=0.0)


def test_the_cards_thresholds_go_before_torchvisions(detector: TorchvisionModel) -> None:
    assert detector.thresholds.items() >= {"score_threshold": 0.1, "nms_iou": 0.55}.items()


def test_a_card_for_the_wrong_task_is_refused(detector: TorchvisionModel) -> None:
    card = detector.card.model_copy(update={"task": "instance_segmentation"})
    with pytest.raises(
        ValueError, match="ssdlite320_mobilenet_v3_large is for object_detection or mask_detection, not"
    ):
        TorchvisionModel(card, Path("mine.pth"), torch.device("cpu"))


def test_a_detector_of_faces(detector: TorchvisionModel) -> None:
    (objects,) = answers(detector, item(detector, astronaut()))
    card = detector.card.model_copy(update={"task": "mask_detection", "labels": ("MASK", "NO MASK", "NO MASK")})
    model = copy(detector)
    model.card = card
    (found,) = answers(model, item(detector, astronaut(), MaskDetectionOptions(face_threshold=0.1)))
    assert found
    assert {(face.box, face.face_score) for face in found} <= {(one.box, one.score) for one in objects}
    assert all(face.confidence == face.face_score and face.label in card.labels for face in found)


def test_a_narrow_picture_that_comes_first_does_not_spoil_the_strides() -> None:
    model = make("maskrcnn_resnet50_fpn")
    heads = model.network.roi_heads
    heads.box_roi_pool.scales = heads.mask_roi_pool.scales = None
    image = np.random.default_rng(0).integers(0, 256, (4, 300, 3), np.uint8)
    (found,) = answers(model, item(model, image))
    assert heads.box_roi_pool.scales == [1 / 4, 1 / 8, 1 / 16, 1 / 32]
    assert heads.mask_roi_pool.scales == [1 / 4, 1 / 8, 1 / 16, 1 / 32]
    for each in found:
        assert 0 <= each.box.left < each.box.right <= 300
        assert 0 <= each.box.top < each.box.bottom <= 4
