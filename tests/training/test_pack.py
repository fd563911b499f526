import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from deployments.models.model import Model
from deployments.results import Box, Instance
from tests.photos import astronaut
from training import data, pack
from training.data import PackedPicture, Picture, as_rle


def rectangle(left: int, top: int, right: int, bottom: int) -> dict:
    rle = as_rle([[left, top, right, top, right, bottom, left, bottom]], 512, 512)
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def person(*corners: int, label: str = "person") -> Instance:
    left, top, right, bottom = corners
    return Instance(0, label, 0.9, Box(*map(float, corners)), rectangle(*corners), (right - left) * (bottom - top))


def picture(*boxes: list[int]) -> Picture:
    count = len(boxes)
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    flags = (np.zeros(count, bool), np.zeros(count, bool))
    return Picture("test", astronaut(), corners, np.ones(count, np.int64), [{}] * count, *flags)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Instance]:
    """What the model answers, to be filled."""
    found: list[Instance] = []
    monkeypatch.setattr(pack, "answer", lambda *_: found)
    return found


MODEL: Model[Any, Any] = None  # type: ignore[assignment]


def test_an_outline_is_believed_where_it_fits_the_box(answers: list[Instance]) -> None:
    answers += [person(10, 10, 110, 110), person(205, 200, 300, 300), person(400, 400, 450, 450, label="cat")]
    found = pack.outlines(MODEL, picture([200, 200, 300, 300], [10, 10, 60, 110], [400, 400, 450, 450]))
    assert [None if each is None else coco_mask.toBbox(each).tolist() for each in found] == [
        [205, 200, 95, 100],
        None,
        None,
    ]


def test_one_outline_is_not_two_people(answers: list[Instance]) -> None:
    answers.append(person(10, 10, 110, 110))
    first, second = pack.outlines(MODEL, picture([10, 10, 108, 110], [10, 10, 110, 110]))
    assert first is None
    assert second is not None


def test_nothing_found_is_nothing_believed(answers: list[Instance]) -> None:
    assert pack.outlines(MODEL, picture([0, 0, 50, 50])) == [None]
    answers.append(person(0, 0, 50, 50))
    assert pack.outlines(MODEL, picture()) == []


def test_a_packed_set_is_read_as_the_set_is(
    answers: list[Instance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "people" / "images").mkdir(parents=True)
    Image.fromarray(astronaut()).save(source / "people" / "images" / "one.jpg")
    image = {"id": 1, "file_name": "one.jpg", "height": 512, "width": 512}
    boxes = [[10, 10, 100, 100], [300, 300, 20, 20]]
    rows = [{"image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": box} for box in boxes]
    (source / "people" / "train.json").write_text(json.dumps({"images": [image], "annotations": rows}))
    monkeypatch.setattr(data, "DATA", source)
    monkeypatch.setattr(pack, "DATA", source)
    answers.append(person(10, 10, 110, 108))
    assert pack.write("people", target, MODEL) == "people: 1 of 2 boxes got an outline"
    (before,) = data.load("people", "train")
    monkeypatch.setattr(data, "DATA", target)
    (after,) = data.load("people", "train")
    assert after.outlined.tolist() == [True, False]
    assert (after.boxes == before.boxes).all()
    assert np.abs(after.image.astype(int) - before.image).mean() < 4


def test_smaller_pictures_are_avif() -> None:
    encoded = io.BytesIO()
    Image.fromarray(astronaut()).save(encoded, "png")
    small = pack.smaller(PackedPicture(encoded.getvalue(), picture()))
    with Image.open(io.BytesIO(small)) as found:
        assert (found.format, found.size) == ("AVIF", (512, 512))
