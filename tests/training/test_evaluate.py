from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deployments.calls import Item
from deployments.models.card import card_path, read_card
from deployments.results import Box, Face
from tests.photos import astronaut
from training import evaluate
from training.data import Picture
from training.evaluate_faces import evaluate_faces, match_faces
from training.metrics import Reliability, draw_curves, precision_recall

RELIABILITY = Reliability("MASK", np.array([0.05, 0.61, 0.69, 1.0]), np.array([False, True, False, True]))


def test_perfect_detections_score_one() -> None:
    assert precision_recall("", [0.9, 0.8], [True, True], truths=2).average_precision == 1


def test_by_hand() -> None:
    # Hits at ranks 1 and 3 of 2 truths: 0.5 * 1 + 0.5 * 2/3.
    curve = precision_recall("", [0.9, 0.8, 0.7], [True, False, True], truths=2)
    assert curve.average_precision == pytest.approx(0.5 + 1 / 3)
    assert curve.recall.tolist() == [0.5, 0.5, 1.0]


def test_what_is_missed_costs_recall() -> None:
    assert precision_recall("", [0.9], [True], truths=4).average_precision == 0.25


def test_a_score_should_be_the_share_that_is_right() -> None:
    assert RELIABILITY.bins() == [
        (0.05, 0.0, 1),
        (pytest.approx(0.65), 0.5, 2),
        (1.0, 1.0, 1),
    ]
    assert RELIABILITY.calibration_error == pytest.approx((0.05 + 2 * 0.15) / 4)


def picture(boxes: list[tuple[int, int, int, int]], labels: list[int]) -> Picture:
    return Picture(
        "test",
        np.zeros((100, 100, 3), np.uint8),
        np.array(boxes, np.float32),
        np.array(labels),
        [],
        np.zeros(len(labels), bool),
    )


def face(box: tuple[int, int, int, int], score: float, label: str = "MASK") -> Face:
    return Face(Box(*box), score, label, 1.0)  # type: ignore[arg-type]


def test_a_second_box_on_the_same_face_is_wrong() -> None:
    found = [face((0, 0, 10, 10), 0.9), face((0, 0, 10, 9), 0.8)]
    assert match_faces(found, picture([(0, 0, 10, 10)], [1]), "MASK") == [(0.9, True), (0.8, False)]


def test_an_incorrectly_worn_mask_does_not_count_either_way() -> None:
    both = picture([(0, 0, 10, 10), (50, 50, 60, 60)], [1, 3])
    assert match_faces([face((50, 50, 60, 60), 0.9)], both, "MASK") == []
    assert match_faces([face((50, 50, 60, 60), 0.9, "NO MASK")], both, "NO MASK") == []


def test_the_wrong_label_is_wrong() -> None:
    found = [face((0, 0, 10, 10), 0.9, "NO MASK")]
    assert match_faces(found, picture([(0, 0, 10, 10)], [1]), "NO MASK") == [(0.9, False)]


def test_curves_become_a_picture(tmp_path: Path) -> None:
    draw_curves(
        [precision_recall("MASK", [0.9, 0.8], [True, False], truths=2)], [RELIABILITY], "faces", tmp_path / "curve.png"
    )
    with Image.open(tmp_path / "curve.png") as drawn:
        assert drawn.size[0] > 300


@pytest.mark.parametrize(
    ("arguments", "measured"), [([], ["faces", "instances"]), (["faces"], ["faces"]), (["instances"], ["instances"])]
)
def test_both_are_measured_where_none_is_named(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], measured: list[str]
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(evaluate, "measure_faces", lambda *_: seen.append("faces") or [])
    monkeypatch.setattr(evaluate, "measure_instances", lambda *_: seen.append("instances") or [])
    monkeypatch.setattr("sys.argv", ["evaluate", *arguments])
    evaluate.main()
    assert seen == measured


class OneFace:
    """Finds the astronaut's face, and says MASK where the picture is not hers as it is."""

    def __init__(self) -> None:
        self.card = read_card(card_path("face_mask"))

    def collate(self, items: list[Item]) -> list[Item]:
        return items

    def run(self, batch: list[Item]) -> list[str]:
        return ["NO MASK" if np.array_equal(item.image, astronaut()) else "MASK" for item in batch]

    def finish(self, _: Item, label: str) -> list[Face]:
        return [face((180, 75, 267, 175), 0.9, label)]


def test_what_is_said_of_each_kind_of_face() -> None:
    sides, labels = [(180, 75, 267, 175), (10, 10, 20, 20)], [2, 1]
    photo = replace(picture(sides, labels), image=astronaut())
    measured = evaluate_faces(OneFace(), [photo])  # type: ignore[arg-type]
    assert measured.confusion["without_mask"] == {"MASK": 0, "NO MASK": 1, "missed": 0}
    assert measured.confusion["with_mask"] == {"MASK": 0, "NO MASK": 0, "missed": 1}
    assert measured.confusion["drawn below the nose"] == {"MASK": 1, "NO MASK": 0, "missed": 0}
    assert measured.reliability.right.tolist() == [True]
    assert measured.metrics["ap50 NO MASK"] == 1
