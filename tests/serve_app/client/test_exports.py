import json
import sys
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from serve_app.client import AsyncClient, Client, to_coco
from tests.serve_app.conftest import person_mask


async def test_instances_for_supervision(awaited: AsyncClient, photo: bytes) -> None:
    detections = (await awaited.analyze(photo)).to_supervision()
    assert detections.xyxy.tolist() == [[50, 40, 64, 48], [10, 4, 40, 44]]
    assert detections.mask is not None
    np.testing.assert_array_equal(detections.mask[1], person_mask())
    assert detections.class_id is not None
    assert detections.class_id.tolist() == [56, 0]
    assert detections.confidence == pytest.approx([0.95, 0.9])
    assert list(detections["class_name"]) == ["chair", "person"]
    people = detections[detections["class_name"] == "person"]
    assert len(people) == 1


async def test_faces_for_supervision(awaited: AsyncClient, photo: bytes) -> None:
    detections = (await awaited.analyze(photo)).to_supervision("faces")
    assert detections.mask is None
    assert detections.class_id is not None
    assert detections.class_id.tolist() == [1]
    assert detections.confidence == pytest.approx([0.9123])


async def test_nothing_and_no_masks_for_supervision(awaited: AsyncClient, photo: bytes) -> None:
    analysis = await awaited.analyze(photo, masks=False)
    assert analysis.to_supervision().mask is None
    assert len(analysis.to_supervision()) == 2
    assert len(analysis.to_supervision("objects")) == 0
    with pytest.raises(ValueError, match="not of 'people'"):
        analysis.to_supervision("people")  # type: ignore[arg-type]


async def test_without_supervision(awaited: AsyncClient, photo: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    analysis = await awaited.analyze(photo)
    with pytest.raises(ImportError, match="pip install supervision"):
        analysis.to_supervision()


def test_pycocotools_reads_the_dataset(blocking: Client, photo: bytes, tmp_path: Path) -> None:
    analyses = [blocking.analyze(photo), *blocking.analyze_many([photo, photo])]
    (tmp_path / "coco.json").write_text(json.dumps(to_coco(analyses)), encoding="utf-8")
    dataset = COCO(tmp_path / "coco.json")
    assert sorted(dataset.getImgIds()) == [1, 2, 3]
    assert {entry["id"]: entry["name"] for entry in dataset.loadCats(dataset.getCatIds())} == {1: "person", 57: "chair"}
    people = dataset.loadAnns(dataset.getAnnIds(imgIds=[3], catIds=[1]))
    assert [person["score"] for person in people] == [0.9]
    assert people[0]["bbox"] == [10, 4, 30, 40]
    np.testing.assert_array_equal(dataset.annToMask(people[0]), person_mask())
    assert people[0]["area"] == person_mask().sum()


async def test_faces_as_coco(awaited: AsyncClient, photo: bytes) -> None:
    dataset = (await awaited.analyze(photo)).to_coco("faces")
    assert dataset["categories"] == [{"id": 2, "name": "MASK"}]
    (face,) = dataset["annotations"]
    assert face["bbox"] == pytest.approx([18.12, 6, 11.88, 12])
    assert face["area"] == pytest.approx(11.88 * 12)
    assert dataset["images"] == [{"id": 1, "file_name": "image-1", "width": 64, "height": 48}]


async def test_labelme(awaited: AsyncClient, photo: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(photo)
    made = (await awaited.analyze(tmp_path / "a.png")).to_labelme()
    assert (made["imagePath"], made["imageHeight"], made["imageWidth"], made["imageData"]) == ("a.png", 48, 64, None)
    shapes = [(shape["label"], shape["shape_type"], shape["group_id"]) for shape in made["shapes"]]
    assert shapes == [("MASK", "rectangle", None), ("chair", "polygon", 1), ("person", "polygon", 2)]
    assert [list(point) for point in made["shapes"][0]["points"]] == [[18.12, 6], [30, 18]]
    assert made["shapes"][1]["points"] == [[50, 40], [64, 40], [64, 48], [50, 48]]
    assert json.loads(json.dumps(made))["shapes"][0]["description"] == "score 0.91"
