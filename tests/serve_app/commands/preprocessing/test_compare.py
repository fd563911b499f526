"""The usual ways against tensors that the libraries themselves make."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchvision.transforms import v2

from deployments.calls import Item
from deployments.imaging.spec import ImageSpec
from deployments.models.card import card_path, read_card
from deployments.models.load import load
from deployments.models.model import Model
from deployments.results import Detection
from serve_app.commands.preprocessing.compare import Comparison, Outcome, compare
from serve_app.commands.preprocessing.photo import Photo
from serve_app.commands.preprocessing.picture import BRIGHTEST, heat_map, sheet
from serve_app.commands.preprocessing.recipe import ROUNDING
from serve_app.commands.preprocessing.report import explanation
from serve_app.commands.preprocessing.ways import usual_ways
from tests.photos import astronaut
from tests.serve_app.commands.preprocessing.conftest import MAX_PIXELS, encode, zstd_tiff
from tests.serve_app.commands.preprocessing.training_code import (
    IMAGENET,
    MEAN,
    STD,
    TO_FLOAT,
    TO_UNIT,
    UNIT_MEAN,
    UNIT_STD,
    TrainingCode,
    card_rule,
    opencv,
    torchvision_with,
)

WAYS: dict[str, tuple[TrainingCode, list[str]]] = {
    "OpenCV, BGR": (partial(opencv, rgb=False), ["channel order", "antialias"]),
    "OpenCV, RGB": (partial(opencv, rgb=True), ["antialias"]),
    "Pillow": (card_rule, []),
    "torchvision, antialias": (card_rule, []),
    "torchvision, no antialias": (torchvision_with(TO_UNIT, IMAGENET, antialias=False), ["antialias"]),
    "Pillow, EXIF ignored": (torchvision_with(TO_UNIT, IMAGENET, exif=False), ["EXIF"]),
    "torchvision, antialias, EXIF ignored": (torchvision_with(TO_UNIT, IMAGENET, exif=False), ["EXIF"]),
    "torchvision, no antialias, EXIF ignored": (
        torchvision_with(TO_UNIT, IMAGENET, exif=False, antialias=False),
        ["EXIF", "antialias"],
    ),
    "pixels in 0..1": (torchvision_with(TO_UNIT, v2.Normalize(MEAN, STD)), ["value range"]),
    "no mean/std": (torchvision_with(TO_FLOAT), ["mean/std"]),
    "mean/std in reverse order": (
        torchvision_with(TO_UNIT, v2.Normalize(UNIT_MEAN[::-1], UNIT_STD[::-1])),
        ["mean/std"],
    ),
    "mean/std of 0.5": (torchvision_with(TO_UNIT, v2.Normalize([0.5] * 3, [0.5] * 3)), ["mean/std"]),
}
"""Each way's name, the code that it stands for, and the steps that must be named, the heaviest first."""


@pytest.fixture(scope="module")
def model() -> Model[Any, Any]:
    return load("solov2_people", "instance_segmentation", "cpu", 1)


class Blind:
    """A model that finds nothing, quickly."""

    def __init__(self) -> None:
        self.card = read_card(card_path("solov2_people"))
        self.device = torch.device("cpu")

    def collate(self, items: list[Item]) -> list[Item]:
        return items

    def run(self, items: list[Item]) -> list[None]:
        return [None for _ in items]

    def finish(self, item: Item, raw: None) -> list[Detection]:
        return []


@pytest.fixture(scope="module")
def comparison(turned: Photo) -> Comparison:
    return compare(turned, Blind())


@pytest.fixture(scope="module")
def person(model: Model[Any, Any]) -> Comparison:
    """Of a photo with somebody in it, taken upright."""
    return compare(Photo(encode(astronaut(), format="PNG"), MAX_PIXELS), model)


def outcome_of(comparison: Comparison, name: str) -> Outcome:
    return next(outcome for outcome in comparison.outcomes if outcome.way.name == name)


def test_every_usual_way_is_there(comparison: Comparison) -> None:
    assert [outcome.way.name for outcome in comparison.outcomes] == list(WAYS)
    assert comparison.unreadable == []
    assert comparison.resized


@pytest.mark.parametrize("name", WAYS)
def test_each_drift_is_measured_and_named(
    comparison: Comparison, turned_file: Path, spec: ImageSpec, name: str
) -> None:
    training_code, expected_causes = WAYS[name]
    tensor, rule = (_channels_last(code(turned_file)) for code in (training_code, card_rule))
    height, width = np.maximum(tensor.shape[:2], rule.shape[:2])
    canvases = np.zeros((2, height, width, 3))
    for canvas, numbers in zip(canvases, (tensor, rule), strict=True):
        canvas[: numbers.shape[0], : numbers.shape[1]] = numbers
    expected = abs(canvases[0] - canvases[1]) * np.array(spec.std)
    outcome = outcome_of(comparison, name)
    assert outcome.difference.largest == pytest.approx(expected.max(), abs=ROUNDING, rel=1e-4)
    assert outcome.difference.mean == pytest.approx(expected.mean(), abs=0.01, rel=1e-4)
    assert [cause.step for cause in outcome.causes if cause.largest > ROUNDING] == expected_causes


def _channels_last(tensor: NDArray[np.float32]) -> NDArray[np.float32]:
    return tensor if tensor.shape[2] == 3 else tensor.transpose(1, 2, 0)


def test_without_exif_there_are_no_ways_to_ignore_it(spec: ImageSpec, person: Comparison) -> None:
    names = [outcome.way.name for outcome in person.outcomes]
    assert names == [name for name in WAYS if "EXIF" not in name]
    assert names == [way.name for way in usual_ways(spec, turned=False)]


def test_the_answer_changes_with_the_input(person: Comparison) -> None:
    assert [instance.label for instance in person.answer] == ["person"]
    same = outcome_of(person, "Pillow")
    assert same.answer == person.answer
    assert explanation(same.causes) == "as the card"
    dark = outcome_of(person, "pixels in 0..1")
    assert dark.change.lost == 1
    swapped = outcome_of(person, "OpenCV, BGR")
    assert swapped.change.expected == 1
    assert swapped.answer != person.answer


def test_a_person_in_a_turned_photo_is_compared_upright(model: Model[Any, Any], person: Comparison) -> None:
    """A mirrored photo is as good as the original, so its people must be found where they are in the upright one."""
    mirrored = compare(Photo(encode(astronaut(), orientation=2, format="PNG"), MAX_PIXELS), model)
    assert mirrored.answer == person.answer
    outcome = outcome_of(mirrored, "Pillow, EXIF ignored")
    assert (outcome.change.lost, outcome.change.new) == (0, 0)
    assert outcome.change.lowest_iou is not None
    assert 0.8 < outcome.change.lowest_iou < 1


def test_a_library_that_cannot_read_the_photo_is_listed() -> None:
    comparison = compare(Photo(zstd_tiff(astronaut()), MAX_PIXELS), Blind())
    assert [each.way.name for each in comparison.unreadable] == ["OpenCV, BGR", "OpenCV, RGB"]
    assert "opencv does not read" in comparison.unreadable[0].reason


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        ({"scale": 1 / 255, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}, "pixels in 0..255"),
        ({}, "pixels in 0..1"),
    ],
)
def test_the_other_value_range_is_a_way(spec: ImageSpec, update: dict, expected: str) -> None:
    names = [way.name for way in usual_ways(spec.model_copy(update=update), turned=False)]
    assert [name for name in names if name.startswith("pixels")] == [expected]


def test_slips_that_a_card_makes_right_are_not_listed(spec: ImageSpec) -> None:
    halves = spec.model_copy(update={"mean": (127.5,) * 3, "std": (127.5,) * 3})
    names = [way.name for way in usual_ways(halves, turned=False)]
    assert "mean/std of 0.5" not in names
    assert "mean/std in reverse order" not in names
    assert "no mean/std" in names


def test_the_sheet_shows_every_way(comparison: Comparison, person: Comparison) -> None:
    tall, short = sheet(comparison), sheet(person)
    assert tall.width == short.width
    cells = [-(-(len(each.outcomes) + 1) // 3) for each in (comparison, person)]
    assert cells == [5, 4]
    blank = sheet(Comparison(person.seen, True, person.answer, [], []))
    assert blank.height < short.height
    assert np.array(short).std() > 10


def test_heat_grows_with_the_largest_channel_and_saturates() -> None:
    levels = np.zeros((1, 4, 3), np.float32)
    levels[0, 1, 2], levels[0, 2, 0], levels[0, 3] = BRIGHTEST / 2, BRIGHTEST, 255
    brightness = heat_map(levels).astype(int).sum(axis=2)[0]
    assert brightness[0] < 20
    assert brightness[0] < brightness[1] < brightness[2]
    assert brightness[2] == brightness[3]
