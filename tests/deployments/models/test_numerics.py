"""What an answer may depend on: not on the other pictures of its batch, and hardly on the device or the precision."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from deployments.calls import Call, Item
from deployments.engines.graphs import capturing
from deployments.engines.precision import BFLOAT16_INSTRUCTIONS
from deployments.imaging.resize import prepare, resize
from deployments.imaging.rle import decode_rle
from deployments.models.card import OPTIONS, TASKS, Task, card_path, read_card
from deployments.models.face_mask.model import FaceMaskModel
from deployments.models.load import load
from deployments.models.model import Model
from deployments.results import Face, Instance
from tests.photos import astronaut, china, grace_hopper, masked_astronaut

Picture = NDArray[np.uint8]
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
DEVICES = ["cpu", pytest.param("cuda", marks=needs_cuda)]
needs_bfloat16 = pytest.mark.skipif(
    not any(torch.cpu.get_capabilities().get(name) for name in BFLOAT16_INSTRUCTIONS),
    reason="this CPU has no instructions for bfloat16",
)
ENGINES = [
    ("cpu", "auto"),
    ("cpu", "eager"),
    pytest.param(("cuda", "auto"), marks=needs_cuda, id="cuda-auto"),
    pytest.param(("cuda", "eager"), marks=needs_cuda, id="cuda-eager"),
]
MODELS: dict[Task, str] = {"mask_detection": "face_mask", "instance_segmentation": "solov2_people"}


def eight_pictures() -> list[Picture]:
    """All different; four of 512x512 pixels, four a little smaller, which both models pad to the same shape."""
    temple = np.pad(china(), ((0, 85), (0, 0), (0, 0)))[:, 64:576]
    whole = [astronaut(), masked_astronaut(), grace_hopper()[:512], temple]
    hopper = grace_hopper()
    smaller = [astronaut()[:, 499::-1], masked_astronaut()[3:], hopper[90:598, ::-1], hopper[88:, 7:502]]
    return whole + smaller


def items(model: Model[Any, Any], pictures: Sequence[Picture]) -> list[Item]:
    options = OPTIONS[model.card.task]()
    return [
        Item(
            prepare(np.ascontiguousarray(picture), model.card.image),
            Call(picture.shape[0], picture.shape[1], options, float("inf"), "test"),
        )
        for picture in pictures
    ]


def answers(model: Model[Any, Any], batch: list[Item]) -> list[Any]:
    return [model.finish(item, raw) for item, raw in zip(batch, model.run(model.collate(batch)), strict=True)]


def mask_iou(one: Instance, other: Instance) -> float:
    a, b = decode_rle(one.mask), decode_rle(other.mask)
    return float(np.count_nonzero(a & b) / np.count_nonzero(a | b))


def assert_alike(one: Sequence[Face | Instance], other: Sequence[Face | Instance], score: float, iou: float) -> None:
    """The same objects in the same order, to a tolerance of scores and a least intersection over union."""
    assert [each.label for each in one] == [each.label for each in other]
    for a, b in zip(one, other, strict=True):
        if isinstance(a, Face) and isinstance(b, Face):
            assert abs(a.face_score - b.face_score) <= score
            assert abs(a.confidence - b.confidence) <= score
            assert a.box.iou(b.box) >= iou
        else:
            assert isinstance(a, Instance)
            assert isinstance(b, Instance)
            assert abs(a.score - b.score) <= score
            assert mask_iou(a, b) >= iou


@pytest.fixture(scope="module", params=MODELS)
def task(request: pytest.FixtureRequest) -> Task:
    found: Task = request.param
    return found


@pytest.fixture(scope="module", params=ENGINES)
def model(request: pytest.FixtureRequest, task: Task) -> Model[Any, Any]:
    device, engine = request.param
    return load(MODELS[task], task, device, threads=1, engine=engine)


def test_every_embedded_model_is_here() -> None:
    assert {read_card(card_path(name)).task for name in MODELS.values()} == set(MODELS) <= set(TASKS)


def test_alone_and_in_a_batch_of_eight(model: Model[Any, Any]) -> None:
    eight = items(model, eight_pictures())
    if model.device.type == "cuda":
        with capturing():
            answers(model, eight[:1])
            answers(model, eight)
    assert len({item.image.shape for item in eight}) >= 4
    assert len({model.padded_shape(item) for item in eight}) == 1
    alone = [answers(model, [item])[0] for item in eight]
    assert sum(map(len, alone)) >= 5
    for one, other in zip(alone, answers(model, eight), strict=True):
        assert_alike(one, other, score=1e-4, iou=0.999)


def certain(found: Sequence[Face | Instance], model: Model[Any, Any]) -> list[Face | Instance]:
    """Those that a little less score would not lose."""
    (threshold,) = model.card.thresholds.values()
    return [each for each in found if (each.face_score if isinstance(each, Face) else each.score) > threshold + 0.05]


@pytest.mark.parametrize(
    ("device", "engine", "precision", "score", "iou"),
    [
        ("cpu", "auto", "float32", 1e-4, 0.999),
        pytest.param("cpu", "auto", "bfloat16", 0.03, 0.95, marks=needs_bfloat16),
        pytest.param("cpu", "eager", "bfloat16", 0.02, 0.95, marks=needs_bfloat16),
        pytest.param("cuda", "eager", "bfloat16", 0.02, 0.95, marks=needs_cuda),
        pytest.param("cuda", "auto", "bfloat16", 0.02, 0.95, marks=needs_cuda),
        pytest.param("cuda", "eager", "float16", 0.005, 0.98, marks=needs_cuda),
        pytest.param("cuda", "eager", "float32", 0.001, 0.995, marks=needs_cuda),
    ],
)
def test_against_eager_float32_on_the_cpu(
    task: Task, device: Any, engine: Any, precision: Any, score: float, iou: float
) -> None:
    exact = load(MODELS[task], task, "cpu", threads=1, engine="eager")
    other = load(MODELS[task], task, device, threads=1, precision=precision, engine=engine)
    (item,) = items(exact, [np.concatenate([masked_astronaut(), grace_hopper()[:512]], axis=1)])
    (expected,), (found,) = answers(exact, [item]), answers(other, [item])
    sure = certain(expected, exact)
    assert sure
    assert_alike(sure, found[: len(sure)], score, iou)


@pytest.mark.parametrize("device", DEVICES)
def test_the_resize_on_the_device_is_that_on_the_cpu(device: Any) -> None:
    model = load("face_mask", "mask_detection", device, threads=1)
    assert isinstance(model, FaceMaskModel)
    small = np.ascontiguousarray(astronaut()[:300, :400])
    for picture in (np.tile(astronaut(), (3, 3, 1))[:1400], grace_hopper(), small):
        (item,) = items(model, [picture])
        height, width = model.detector_size(item)
        normalised = model.collate([item]).small[0, :, :height, :width].cpu()
        mean, std = (torch.tensor(values)[:, None, None] for values in (model.card.image.mean, model.card.image.std))
        grey = (normalised * std + mean).permute(1, 2, 0).numpy()
        expected = resize(item.image, height, width, "antialiased_bilinear").astype(np.float32)
        assert np.abs(grey - expected).max() <= 1.01
