"""Networks that people have, exported as docs/onnx.md says, answer as they do in torch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import mobilenet_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import box_convert, box_iou

from deployments.calls import Call, InstanceSegmentationOptions, Item, ObjectDetectionOptions
from deployments.imaging.resize import prepare
from deployments.imaging.spec import ImageSpec, MaxSide
from deployments.models.candidates import Candidates
from deployments.models.card import ModelCard
from deployments.models.load import load
from deployments.models.onnx.model import OnnxModel
from deployments.results import Instance
from tests.deployments.models.onnx.files import export
from tests.deployments.models.torchvision_models.random_weights import random_state
from tests.photos import astronaut, china

CPU = torch.device("cpu")
LABELS = ("cat", "dog")
PHOTOS = {"landscape": china, "square": astronaut}


def ssd() -> nn.Module:
    detector = detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=3, detections_per_img=20, score_thresh=0.1
    )
    detector.load_state_dict(random_state(detector.state_dict()))
    return detector


@torch.no_grad()
def calibrated(backbone: Any) -> Any:
    """With statistics of a photo in its batch norms, so that untrained features neither vanish nor explode."""
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    backbone.train()(torch.from_numpy(china()[::3, ::3] / 127.5 - 1).permute(2, 0, 1)[None].float())
    return backbone.eval()


def rcnn(masks: bool) -> nn.Module:
    backbone = calibrated(
        mobilenet_backbone(backbone_name="mobilenet_v3_large", weights=None, fpn=True, norm_layer=nn.BatchNorm2d)
    )
    channels = backbone.out_channels
    sizes: dict[str, Any] = {"min_size": 128, "max_size": 192, "rpn_post_nms_top_n_test": 50, "box_score_thresh": 0.1}
    heads: dict[str, Any] = {
        "rpn_anchor_generator": AnchorGenerator(((32, 64, 128),) * 3, ((0.5, 1.0, 2.0),) * 3),
        "box_head": TwoMLPHead(channels * 7 * 7, 64),
        "box_predictor": FastRCNNPredictor(64, 3),
        "box_detections_per_img": 10,
    }
    if not masks:
        return detection.FasterRCNN(backbone, **sizes, **heads)
    heads |= {"mask_head": MaskRCNNHeads(channels, (32,), 1), "mask_predictor": MaskRCNNPredictor(32, 32, 3)}
    return detection.MaskRCNN(backbone, **sizes, **heads)


DETECTORS: dict[str, tuple[Callable[[], nn.Module], tuple[str, ...]]] = {
    "ssd": (ssd, ("boxes", "scores", "labels")),
    "faster_rcnn": (lambda: rcnn(masks=False), ("boxes", "labels", "scores")),
    "mask_rcnn": (lambda: rcnn(masks=True), ("boxes", "labels", "scores", "masks")),
}


def card(task: str, network: dict[str, Any], **image: Any) -> ModelCard:
    spec = ImageSpec(
        color_order="rgb",
        resize=MaxSide(rule="max_side", long_side=160),
        interpolation="antialiased_bilinear",
        mean=(0, 0, 0),
        std=(1, 1, 1),
        scale=1 / 255,
    )
    fields = {"name": "mine", "version": "1", "task": task, "architecture": "onnx", "weights": "mine.onnx"}
    return ModelCard.model_validate(
        {
            **fields,
            "network": network,
            "labels": LABELS,
            "image": spec.model_copy(update=image),
            "thresholds": {"score_threshold": 0.1},
            "licence": "none",
        }
    )


def prepared(model: OnnxModel, photo: NDArray[np.uint8]) -> Item:
    segments = model.card.task == "instance_segmentation"
    options = InstanceSegmentationOptions() if segments else ObjectDetectionOptions()
    call = Call(*photo.shape[:2], options, deadline=float("inf"), request_id="test")
    return Item(prepare(photo, model.card.image), call)


def found_in(model: OnnxModel, *items: Item) -> list[Candidates]:
    return model.run(model.collate(list(items)))


def levels(item: Item) -> Tensor:
    """What the network is fed where mean is 0 and std 1: float [3, H, W]."""
    return torch.from_numpy(item.image).permute(2, 0, 1).float() * (1 / 255)


def counterparts(found: Candidates, boxes: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
    """Rows of the expected boxes, each in the place of what is found: int64 [K].

    Asserts that they are the same, in whatever order equal scores put them.
    """
    assert len(found.scores) == len(scores) > 0
    rows = box_iou(found.boxes, boxes).argmax(dim=1)
    assert len(set(rows.tolist())) == len(rows)
    # A quarter of a pixel: sums taken in another order move a box of random weights by a tenth.
    torch.testing.assert_close(found.boxes, boxes[rows], atol=0.25, rtol=0)
    torch.testing.assert_close(found.scores, scores[rows], atol=1e-3, rtol=0)
    assert torch.equal(found.labels, labels[rows])
    return rows


@pytest.fixture(scope="module", params=DETECTORS)
def detector_and_model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, OnnxModel]:
    """A torchvision detector, and the model that its file is."""
    build, names = DETECTORS[request.param]
    torch.manual_seed(0)
    detector = build().eval()
    photo = torch.from_numpy(china()[::4, ::4] / 255).permute(2, 0, 1).float()
    file = export(detector, [photo], tmp_path_factory.mktemp("detectors") / "mine.onnx", names, free=(1, 2))
    task = "instance_segmentation" if "masks" in names else "object_detection"
    network = {"input": "images", "outputs": {name: name for name in names}, "first_label": 1}
    return detector, OnnxModel(card(task, network), file, CPU)


@pytest.mark.parametrize("photo", PHOTOS)
@torch.inference_mode()
def test_torchvision(detector_and_model: tuple[Any, OnnxModel], photo: str) -> None:
    detector, model = detector_and_model
    item = prepared(model, PHOTOS[photo]())
    (found,) = found_in(model, item)
    (expected,) = detector([levels(item)])
    rows = counterparts(found, expected["boxes"], expected["scores"], expected["labels"] - 1)
    if "masks" in expected:
        assert found.masks is not None
        assert found.masks.shape == (len(found.scores), *item.image.shape[:2])
        hard, expected_hard = found.masks > 0.5, expected["masks"][rows, 0] > 0.5
        assert (hard & expected_hard).sum() > 0.99 * (hard | expected_hard).sum()
        assert {instance.label_id for instance in model.finish(item, found)} <= {0, 1}


@pytest.mark.parametrize("name", ["china", "astronaut"])
def test_solov2(solov2_people_onnx: Path, name: str) -> None:
    photo = {"china": china, "astronaut": astronaut}[name]()
    answers = []
    for reference in ("solov2_people", str(solov2_people_onnx)):
        model = load(reference, "instance_segmentation", "cpu", threads=1)
        options = InstanceSegmentationOptions(score_threshold=0.25)
        call = Call(*photo.shape[:2], options, deadline=float("inf"), request_id="test")
        item = Item(prepare(photo, model.card.image), call)
        answers.append(model.finish(item, model.run(model.collate([item]))[0]))
    eager, onnx = answers
    assert len(onnx) == len(eager) > 0
    for one, other in zip(onnx, eager, strict=True):
        assert isinstance(one, Instance)
        assert isinstance(other, Instance)
        assert one.label == other.label
        assert one.score == pytest.approx(other.score, abs=1e-4)
        assert coco.iou([one.mask], [other.mask], [0])[0, 0] > 0.99


class Yolo(nn.Module):
    """A head in YOLO's manner, with its decoding: a box about each cell of two grids, and a score a class."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, stride=8, padding=1), nn.SiLU())
        self.deeper = nn.Sequential(nn.Conv2d(16, 16, 3, stride=2, padding=1), nn.SiLU())
        self.heads = nn.ModuleList(nn.Conv2d(16, 4 + len(LABELS), 1) for _ in range(2))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """boxes: centre, width, height as fractions of the input; scores; labels."""
        first = self.stem(images)
        levels = []
        for head, features in zip(self.heads, (first, self.deeper(first)), strict=True):
            found = head(features)
            height, width = found.shape[2:]
            y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
            centres = (torch.stack([x, y]) + found[:, :2].tanh()) / torch.tensor([width, height]).view(2, 1, 1)
            sizes = found[:, 2:4].exp() / torch.tensor([width, height]).view(2, 1, 1)
            levels.append(torch.cat([centres, sizes, found[:, 4:].sigmoid()], dim=1).flatten(2))
        boxes, classes = torch.cat(levels, dim=2).transpose(1, 2).split([4, len(LABELS)], dim=2)
        scores, labels = classes.max(dim=2)
        best, order = scores.topk(50, dim=1)
        return boxes.gather(1, order[..., None].expand(-1, -1, 4)), best, labels.gather(1, order)


@torch.inference_mode()
def test_yolo_by_the_newer_exporter(tmp_path: Path) -> None:
    torch.manual_seed(0)
    yolo = Yolo().eval()
    file, outputs = tmp_path / "yolo.onnx", ["boxes", "scores", "labels"]
    torch.onnx.export(
        yolo,
        (torch.rand(2, 3, 160, 160),),
        str(file),
        input_names=["images"],
        output_names=outputs,
        dynamic_shapes=({0: "n"},),
        verbose=False,
    )
    assert (tmp_path / "yolo.onnx.data").is_file()
    network = {
        "input": "images",
        "outputs": {name: name for name in outputs},
        "box_form": "cxcywh",
        "box_unit": "fraction",
    }
    model = OnnxModel(card("object_detection", network), file, CPU)
    items = [prepared(model, photo) for photo in (china(), astronaut(), china()[:, ::-1].copy())]
    padded = torch.zeros(3, 3, 160, 160)
    for slot, item in zip(padded, items, strict=True):
        slot[:, : item.image.shape[0], : item.image.shape[1]] = levels(item)
    for found, boxes, scores, labels in zip(found_in(model, *items), *yolo(padded), strict=True):
        counterparts(found, box_convert(boxes, "cxcywh", "xyxy") * 160, scores, labels)
