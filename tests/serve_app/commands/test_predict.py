import json
from pathlib import Path

from PIL import Image
from typer.testing import CliRunner

from serve_app.cli import app
from tests.photos import astronaut, jpeg, masked_astronaut


def test_photos_in_answers_and_drawings_out(tmp_path: Path) -> None:
    (tmp_path / "bare.jpg").write_bytes(jpeg(astronaut()))
    (tmp_path / "masked.jpg").write_bytes(jpeg(masked_astronaut()))
    (tmp_path / "broken.jpg").write_bytes(jpeg(astronaut())[:5000])
    photos = [str(tmp_path / name) for name in ("bare.jpg", "masked.jpg", "broken.jpg")]
    answer, drawings = tmp_path / "answer.json", tmp_path / "drawn"
    result = CliRunner().invoke(app, ["predict", *photos, "--json", str(answer), "--draw", str(drawings)])
    assert result.exit_code == 1  # one photo is broken
    images = [entry["images"][0] for entry in json.loads(answer.read_bytes())]
    assert [image["name"] for image in images] == ["bare.jpg", "masked.jpg", "broken.jpg"]
    assert [[face["label"] for face in image["faces"]] for image in images] == [["NO MASK"], ["MASK"], []]
    assert [bool(image["errors"]) for image in images] == [False, False, True]
    assert sorted(path.name for path in drawings.iterdir()) == ["bare.jpg", "masked.jpg"]
    assert Image.open(drawings / "bare.jpg").size == (512, 512)


def test_a_missing_photo_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["predict", str(tmp_path / "none.jpg")])
    assert result.exit_code == 2
    assert "none.jpg" in result.output
