"""The command, as it is typed."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner, Result

from deployments.models.card import EMBEDDED
from serve_app.cli import app
from tests.photos import china, jpeg
from tests.serve_app.commands.preprocessing.training_code import card_rule, opencv


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["compare-preprocessing", *map(str, arguments)], env={"COLUMNS": "200"})


def test_table_picture_and_numbers(turned_file: Path, tmp_path: Path) -> None:
    result = run(turned_file, "--card", "face_mask", "--draw", tmp_path / "sheet.png", "--json", tmp_path / "n.json")
    assert result.exit_code == 0, result.output
    assert "face_mask@" in result.output
    assert "Pillow, EXIF ignored" in result.output
    assert "channel order" in result.output
    assert "leaves this photo's size as it is" in result.output
    ways = {way["way"]: way for way in json.loads((tmp_path / "n.json").read_bytes())["ways"]}
    assert [cause["step"] for cause in ways["OpenCV, BGR"]["causes"]] == ["channel order"]
    assert ways["Pillow"]["largest"] == 0
    assert ways["Pillow, EXIF ignored"]["causes"][0]["step"] == "EXIF"
    assert Image.open(tmp_path / "sheet.png").width > 1000


def test_against_a_drifted_tensor(photo_file: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "dump.npy", opencv(photo_file, rgb=False))
    result = run(photo_file, "--against", tmp_path / "dump.npy", "--json", tmp_path / "n.json")
    assert result.exit_code == 1
    assert "not by the card's rule" in result.output
    assert "color_order: bgr" in result.output
    assert "interpolation: opencv_bilinear" in result.output
    numbers = json.loads((tmp_path / "n.json").read_bytes())
    assert numbers["reproduced"]
    assert not numbers["agrees_with_card"]
    assert [cause["step"] for cause in numbers["causes"]] == ["channel order", "antialias"]


def test_the_proposed_card_agrees(photo_file: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "dump.npy", opencv(photo_file, rgb=False))
    card = yaml.safe_load((EMBEDDED / "solov2_people.yaml").read_text())
    card["image"] |= {"color_order": "bgr", "interpolation": "opencv_bilinear"}
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card))
    result = run(photo_file, "--against", tmp_path / "dump.npy", "--card", tmp_path / "card.yaml")
    assert result.exit_code == 0, result.output
    assert "The card's own rule reproduces it" in result.output


def test_against_the_cards_own_tensor_and_against_nothing_known(photo_file: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "dump.npy", card_rule(photo_file))
    assert run(photo_file, "--against", tmp_path / "dump.npy").exit_code == 0
    np.save(tmp_path / "dump.npy", card_rule(photo_file)[:, 20:200, 30:300])
    result = run(photo_file, "--against", tmp_path / "dump.npy")
    assert result.exit_code == 1
    assert "No known recipe comes near" in result.output


def test_what_the_photo_cannot_tell_is_said(tmp_path: Path) -> None:
    grey = np.repeat(china()[..., :1], 3, axis=2)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey).resize((448, 299), Image.Resampling.BILINEAR).save(tmp_path / "resized.png")
    result = run(tmp_path / "grey.png", "--against", tmp_path / "resized.png")
    assert result.exit_code == 0, result.output
    assert "cannot tell other choices apart in: channel order" in result.output
    assert "Not judged: EXIF (the photo has no orientation to ignore); mean/std and value range" in result.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--against", "broken.npy"], "truncated or corrupt"),
        (["--against", "photo.jpg", "--draw", "sheet.png"], "give one of them"),
        (["--against", "absent.npy"], "absent.npy"),
        (["--card", "unknown"], "no model card"),
        (["--card", "broken.yaml"], "broken.yaml"),
    ],
)
def test_wrong_input_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photo.jpg").write_bytes(jpeg(china()))
    Path("broken.npy").write_bytes(b"\x93NUMPY\x01\x00")
    Path("broken.yaml").write_text("name: [")
    result = run("photo.jpg", *options)
    assert result.exit_code == 2
    assert message in result.output


def test_a_photo_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"no photo")
    result = run(tmp_path / "photo.jpg")
    assert result.exit_code == 2
    assert "not a JPEG" in result.output


def test_a_picture_of_an_unknown_kind_is_refused_before_any_work(photo_file: Path, tmp_path: Path) -> None:
    result = run(photo_file, "--draw", tmp_path / "sheet.docx")
    assert result.exit_code == 2
    assert ".png or .jpg" in result.output
