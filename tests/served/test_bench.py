"""``maskgraph bench`` against the real graph, as docs/commands.md has it."""

import json
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serve_app.cli import app
from tests.docs.test_commands import EXAMPLES
from tests.photos import astronaut, jpeg

pytestmark = pytest.mark.serve


def test_the_example_with_json(service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(jpeg(astronaut()))
    (example,) = (each for each in EXAMPLES if "bench" in each and "--json" in each)
    words = shlex.split(example.replace("http://127.0.0.1:8000", service))[1:]
    done = CliRunner().invoke(app, [*words, "--clients", "2", "--seconds", "0.5"])
    measured = json.loads(done.stdout)
    assert measured["clients"] == 2
    assert measured["answers"] >= 1
    # What a slow machine refuses is told as what it is.
    assert measured["errors"].keys() <= {"503 application/json"}
    assert done.exit_code == (1 if measured["errors"] else 0)
