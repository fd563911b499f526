"""``maskgraph analyze`` against the application over branches that answer what a test sets."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from fastapi import FastAPI
from PIL import Image
from typer.testing import CliRunner

from serve_app.api_keys import ApiKeys
from serve_app.cli import app as cli
from serve_app.http.app import create_app
from serve_app.pipeline import Pipeline
from serve_app.protocols.native import routes as native
from tests.serve_app.conftest import HEIGHT, LIMITS, WIDTH, FakeBranch
from tests.serve_app.protocols.loopback import serving


@pytest.fixture
def url(app: FastAPI) -> Iterator[str]:
    with serving(app) as address:
        yield address


@pytest.fixture
def folder(tmp_path: Path, photo: bytes) -> Path:
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    (tmp_path / "photos" / "a.png").write_bytes(photo)
    (tmp_path / "photos" / "sub" / "b.png").write_bytes(photo)
    return tmp_path / "photos"


def analyze(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(cli, ["analyze", *map(str, arguments)], env=environment)


def test_a_folder(url: str, folder: Path, tmp_path: Path) -> None:
    lines, drawn = tmp_path / "answers.jsonl", tmp_path / "drawn"
    done = analyze(folder, "--url", url, "--output", lines, "--draw", drawn)
    assert done.exit_code == 0, done.output
    answers = [json.loads(line) for line in lines.read_text().splitlines()]
    assert {answer["path"] for answer in answers} == {str(folder / "a.png"), str(folder / "sub" / "b.png")}
    assert all([face["label"] for face in answer["faces"]] == ["MASK"] for answer in answers)
    assert not any("annotated" in answer for answer in answers)
    assert Image.open(drawn / "sub" / "b.png.jpg").size == (WIDTH, HEIGHT)
    assert "1 MASK" in done.output
    assert "2 photos: 2 answered, 0 failed" in done.output


def test_lines_for_scripts_and_options(url: str, folder: Path, instances: FakeBranch) -> None:
    options = ("--score-threshold", 0.25, "--classes", "person", "--classes", "chair", "--no-masks", "--json")
    done = analyze(folder / "*.png", *options, MASKGRAPH_URL=url)
    (line,) = done.stdout.splitlines()
    assert not any("mask" in instance for instance in json.loads(line)["instances"])
    asked = instances.calls[0].options
    assert (asked.score_threshold, asked.classes) == (0.25, ("person", "chair"))  # type: ignore[union-attr]


def test_a_photo_that_fails(url: str, folder: Path) -> None:
    (folder / "broken.jpg").write_bytes(b"no photo")
    done = analyze(folder, "--url", url)
    assert done.exit_code == 1
    assert f"{folder / 'broken.jpg'}: the data is not a JPEG" in done.stderr
    assert "3 photos: 2 answered, 1 failed" in done.stderr


def test_half_an_answer_counts_as_failed(url: str, folder: Path, faces: FakeBranch) -> None:
    faces.fail("unavailable")
    done = analyze(folder / "a.png", "--url", url)
    assert done.exit_code == 1
    assert "mask_detection is unavailable" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--url", "http://127.0.0.1:9"), "cannot connect to http://127.0.0.1:9"),
        (("--url", "localhost:8000"), "begins with http://"),
        (("--classes", "dragon"), "unknown class 'dragon'"),
    ],
)
def test_what_ends_the_run_is_one_line(url: str, folder: Path, arguments: tuple[str, ...], told: str) -> None:
    done = analyze(folder, *arguments, MASKGRAPH_URL=url)
    assert done.exit_code == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_path_with_no_photo(url: str, tmp_path: Path) -> None:
    done = analyze(tmp_path / "none.jpg", "--url", url)
    assert done.exit_code == 2
    assert done.stderr == f"maskgraph: {tmp_path / 'none.jpg'}: no photo is there\n"


def test_the_api_key(pipeline: Pipeline, folder: Path) -> None:
    with serving(create_app(pipeline, LIMITS, [native.routes], ApiKeys.of("secret"))) as url:
        refused = analyze(folder, "--url", url)
        assert refused.exit_code == 2
        assert "give it as --api-key or in MASKGRAPH_API_KEY" in refused.stderr
        assert analyze(folder, "--url", url, MASKGRAPH_API_KEY="secret").exit_code == 0
