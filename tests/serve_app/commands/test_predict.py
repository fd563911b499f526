import json
from pathlib import Path

from PIL import Image
from typer.testing import CliRunner

from serve_app.cli import app
from tests.photos import astronaut, jpeg, masked_astronaut


def test_photos_in_answers_and_drawings_out(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "bare.jpg").write_bytes(jpeg(astronaut()))
    (folder / "masked.jpg").write_bytes(jpeg(masked_astronaut()))
    (folder / "broken.jpg").write_bytes(jpeg(astronaut())[:5000])
    answers, drawings = tmp_path / "answers.jsonl", tmp_path / "drawn"
    result = CliRunner().invoke(app, ["predict", str(folder), "--output", str(answers), "--draw", str(drawings)])
    assert result.exit_code == 1  # one photo is broken
    lines = [json.loads(line) for line in answers.read_text().splitlines()]
    assert [line["name"] for line in lines] == ["bare.jpg", "broken.jpg", "masked.jpg"]
    assert [[face["label"] for face in line["faces"]] for line in lines] == [["NO MASK"], [], ["MASK"]]
    assert [bool(line["errors"]) for line in lines] == [False, True, False]
    assert sorted(path.name for path in drawings.iterdir()) == ["bare.jpg", "masked.jpg"]
    assert Image.open(drawings / "bare.jpg").size == (512, 512)


def test_what_cannot_be_done_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(astronaut()))
    for arguments, told in (
        (["none.jpg"], "none.jpg: no photo is there"),
        (["a.jpg", "--csv", "b.jpg"], "named like a photo"),
        (["a.jpg", "--classes", "dragon"], "unknown class 'dragon'"),
    ):
        given = [str(tmp_path / one) if one.endswith(".jpg") else one for one in arguments]
        result = CliRunner().invoke(app, ["predict", *given])
        assert result.exit_code == 2
        assert told in result.stderr
        assert result.stderr.count("\n") == 1
