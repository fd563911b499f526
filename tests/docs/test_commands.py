"""docs/commands.md has every command, and its examples can be run."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from serve_app.cli import app
from tests.photos import astronaut, jpeg

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^    (maskgraph .*)$", PAGE, re.M)


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the examples name, in the folder where they are run."""
    (tmp_path / "photos").mkdir()
    for name in ("photo.jpg", "photos/photo.jpg"):
        (tmp_path / name).write_bytes(jpeg(astronaut()))
    for name in ("dump.npy", "model.pth"):
        (tmp_path / name).touch()
    for name in ("configs", "serve_config.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASKGRAPH_CACHE", str(tmp_path / "cache"))


def test_every_command_has_its_section_and_an_example() -> None:
    group: Any = get_command(app)
    commands = list(group.commands)
    assert sorted(re.findall(r"^## (\S+)$", PAGE, re.M)) == sorted(commands)
    assert {example.split()[1] for example in EXAMPLES} == set(commands)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_taken_as_it_stands(example: str) -> None:
    group: Any = get_command(app)
    words = shlex.split(example)[1:]
    with group.make_context("maskgraph", list(words)) as context:
        name, command, rest = group.resolve_command(context, words)
        assert command
        with command.make_context(name, rest, parent=context) as inner:
            assert inner.params


@pytest.mark.parametrize("example", [each for each in EXAMPLES if each.split()[1] in ("check", "key")])
def test_an_example_that_needs_no_service_runs(example: str) -> None:
    done = CliRunner().invoke(app, shlex.split(example)[1:])
    assert done.exit_code == 0, done.output
    assert done.stdout
