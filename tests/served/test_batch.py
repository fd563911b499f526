"""``maskgraph batch`` beside the service: the same answers, none lost and none twice."""

import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from pycocotools.coco import COCO

from serve_app.commands.batch.analyst import Analyst
from serve_app.commands.batch.command import batch, claim
from serve_app.commands.batch.places import Place
from serve_app.commands.batch.run import Workers, analyse
from serve_app.commands.batch.sources import listing
from serve_app.settings import Settings
from tests.photos import astronaut, jpeg, masked_astronaut

pytestmark = [pytest.mark.serve, pytest.mark.chaos]

PHOTOS = {
    "bare.jpg": jpeg(astronaut()),
    "deep/masked.jpg": jpeg(masked_astronaut()),
    "broken.jpg": jpeg(astronaut())[:5000],
    "notes.jpg": b"no picture at all",
}


def write(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(PHOTOS[name])


def rows(output: Path) -> dict[str, dict[str, Any]]:
    """By path; each has one row."""
    table = pq.read_table(output).to_pylist()
    found = {row["path"]: row for row in table}
    assert len(found) == len(table)
    return found


def written(value: Any) -> Any:
    """A value without what Parquet adds, null where a struct has nothing, and floats to the last digit but one."""
    if isinstance(value, dict):
        return {key: written(each) for key, each in value.items() if each is not None}
    if isinstance(value, float):
        return pytest.approx(value, abs=2e-3)
    return [written(each) for each in value] if isinstance(value, list) else value


def test_rows_are_the_services_answers_though_a_worker_dies_and_a_second_run_goes_on(
    client: httpx.Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, output, coco, died = (tmp_path / name for name in ("photos", "out", "coco.json", "died"))

    class Dying(Analyst):
        """Kills its process once, with a picture analysed that it has not handed on."""

        async def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
            answer = await super().__call__(row)
            if not died.exists():
                died.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

    write(photos, ["bare.jpg", "notes.jpg"])
    settings, place = Settings(device="cpu"), Place.at(str(output))
    claim(place, str(photos), settings)
    assert sum(analyse(listing(str(photos)), set(), place, settings, Workers(1, 1, 0.0), 1, Dying)) == 2
    assert died.exists()
    assert rows(output).keys() == {"bare.jpg", "notes.jpg"}

    write(photos, list(PHOTOS))
    kept = {"address": None, "workers": 1, "gpus": 0.0, "rows_a_part": 256}
    complete = batch(str(photos), str(output), settings, coco=str(coco), **kept)  # type: ignore[arg-type]
    assert not complete  # two are no pictures
    assert "2 analysed now" in " ".join(capsys.readouterr().out.split())
    found = rows(output)
    assert found.keys() == PHOTOS.keys()
    answer = client.post("/analyze", files=[("image", data) for data in PHOTOS.values()]).json()
    for name, expected in zip(PHOTOS, answer["images"], strict=True):
        for key in ("width", "height", "faces", "instances", "people", "errors"):
            assert written(found[name][key]) == written(expected[key]), (name, key)
    assert_is_coco(coco, found)


def assert_is_coco(file: Path, found: dict[str, dict[str, Any]]) -> None:
    """What pycocotools reads from a file is what the rows say."""
    coco = COCO(str(file))
    names = {image["id"]: image["file_name"] for image in coco.imgs.values()}
    assert sorted(names.values()) == ["bare.jpg", "deep/masked.jpg"]
    for id, name in names.items():
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=id))
        labels = [coco.cats[each["category_id"]]["name"] for each in annotations]
        row = found[name]
        assert labels == [each["label"] for each in [*row["faces"], *row["instances"]]]
        masks = [coco.annToMask(each) for each in annotations if "segmentation" in each]
        assert [int(mask.sum()) for mask in masks] == [each["area"] for each in row["instances"]]
