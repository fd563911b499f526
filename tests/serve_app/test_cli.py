import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from serve_app.cli import app, told


def commands() -> list[str]:
    return list(get_command(app).commands)  # type: ignore[attr-defined]


def test_help_names_every_command() -> None:
    result = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"})
    assert {"serve", "bench", "check"} <= set(commands())
    assert all(f" {name} " in result.stdout for name in commands())


def test_version_is_the_installed_one() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.stdout == f"maskgraph {version('maskgraph')}\n"


@pytest.mark.parametrize(
    "words", [["serve", "nothere.yaml"], ["convert", "nothere.yaml", "to", "--name", "a", "--licence", "b"]]
)
def test_a_file_that_is_not_there_is_named(words: list[str]) -> None:
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "'nothere.yaml' does not exist" in result.stderr


def test_what_the_system_refuses_is_told_without_its_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as left, told():
        (tmp_path / "nodir" / "lines.jsonl").write_text("")
    assert left.value.exit_code == 2
    assert capsys.readouterr().err == f"maskgraph: {tmp_path}/nodir/lines.jsonl: no such file or directory\n"


@pytest.mark.parametrize("name", commands())
def test_each_command_has_its_help(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert name in result.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize(
    ("words", "completed"), [("maskgraph ser", ["serve"]), ("maskgraph serve --verb", ["--verbose"])]
)
def test_a_shell_completes_commands_and_options(words: str, completed: list[str]) -> None:
    """By the script that --install-completion installs."""
    script = (
        f". <(maskgraph --show-completion bash); COMP_WORDS=({words}) COMP_CWORD={len(words.split()) - 1}; "
        '_maskgraph_completion maskgraph; echo "${COMPREPLY[@]}"'
    )
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", script], env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.stdout.split() == completed, done.stderr
