import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deployments.calls import Item
from deployments.imaging.masks import encode_rle
from deployments.imaging.rle import rle_area, rle_box
from deployments.models.card import card_path, read_card
from deployments.results import Instance
from training import data, evaluate_instances


def rectangle(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((64, 96), bool)
    mask[top:bottom, left:right] = True
    return mask


def instance(label_id: int, label: str, score: float, mask: np.ndarray) -> Instance:
    rle = encode_rle(mask)
    return Instance(label_id, label, score, rle_box(rle), rle, rle_area(rle))


class Two:
    """Finds the person, another where nobody is, and cats: one surely."""

    def __init__(self) -> None:
        self.card = read_card(card_path("solov2_people")).model_copy(
            update={"thresholds": {"score_threshold": 0.5}, "class_thresholds": {"person": 0.3}}
        )

    def collate(self, items: list[Item]) -> list[Item]:
        return items

    def run(self, batch: list[Item]) -> list[None]:
        return [None for _ in batch]

    def finish(self, *_: object) -> list[Instance]:
        return [
            instance(0, "person", 0.9, rectangle(10, 10, 40, 50)),
            instance(15, "cat", 0.6, rectangle(0, 0, 30, 30)),
            instance(15, "cat", 0.4, rectangle(50, 0, 90, 30)),
            instance(0, "person", 0.35, rectangle(60, 30, 90, 60)),
            instance(0, "person", 0.1, rectangle(0, 50, 30, 64)),
        ]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """One picture of one person, everything labelled."""
    root = tmp_path / "instances" / "coco_mix"
    (root / "images").mkdir(parents=True)
    Image.new("RGB", (96, 64)).save(root / "images" / "1.png")
    outline = [[10, 10, 40, 10, 40, 50, 10, 50]]
    person = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [10, 10, 30, 40], "area": 1200}
    document = {
        "images": [{"id": 1, "file_name": "1.png", "width": 96, "height": 64}],
        "categories": [{"id": k, "name": name} for k, name in data_categories()],
        "annotations": [person | {"segmentation": outline}],
    }
    for split in ("train", "val"):
        (root / f"{split}.json").write_text(json.dumps(document))
    monkeypatch.setattr(data, "DATA", tmp_path)
    monkeypatch.setattr(evaluate_instances, "DATA", tmp_path)
    return "instances/coco_mix"


def data_categories() -> list[tuple[int, str]]:
    """Eighty, with person as label 0 and cat as label 15."""
    labels = read_card(card_path("solov2_people")).labels
    return [(k + 1, name) for k, name in enumerate(labels)]


def test_people_and_guesses_of_what_is_not_there(folder: str) -> None:
    measured = evaluate_instances.evaluate_instances(Two(), folder, all_classes=True)  # type: ignore[arg-type]
    assert measured.metrics["person mask AP50"] == pytest.approx(1)
    assert measured.metrics["person precision"] == 0.5
    assert measured.metrics["person recall"] == 1
    assert measured.metrics["answers of a class that is not there"] == 1
    order = np.argsort(-measured.reliability.scores)
    assert measured.reliability.scores[order].tolist() == pytest.approx([0.9, 0.35, 0.1])
    assert measured.reliability.right[order].tolist() == [True, False, False]
