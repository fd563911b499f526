"""maskgraph check."""

import json
from pathlib import Path

import yaml
from typer.testing import CliRunner

from serve_app import cli
from tests.serve_app.checking.config import CONFIG


def test_the_command_names_each_problem_and_fails(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(yaml.safe_dump(CONFIG))
    bad.write_text("applications: []\nhttp_option: {}\n")
    result = CliRunner().invoke(cli.app, ["check", "--elsewhere", str(good), str(bad), str(tmp_path / "none.yaml")])
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"{good}: ok",
        f"{bad}:2: http_option: unknown key; did you mean http_options?",
        f"{tmp_path / 'none.yaml'}: {tmp_path / 'none.yaml'} cannot be read: No such file or directory",
    ]


def test_the_command_s_problems_as_json(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("applications: []\nhttp_option: {}\n")
    result = CliRunner().invoke(cli.app, ["check", "--elsewhere", "--json", str(bad)])
    assert result.exit_code == 1
    message = "unknown key; did you mean http_options?"
    assert json.loads(result.stdout) == [{"file": str(bad), "line": 2, "path": "http_option", "message": message}]


def test_the_command_accepts_a_valid_file(tmp_path: Path) -> None:
    good = tmp_path / "good.yaml"
    good.write_text(yaml.safe_dump(CONFIG))
    assert CliRunner().invoke(cli.app, ["check", "--elsewhere", str(good)]).exit_code == 0
