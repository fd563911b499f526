import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from serve_app.cli import app


def commands() -> list[str]:
    return list(get_command(app).commands)  # type: ignore[attr-defined]


def test_help_names_every_command() -> None:
    told = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"})
    assert {"serve", "bench", "check"} <= set(commands())
    assert all(f" {name} " in told.stdout for name in commands())


def test_version_is_the_installed_one() -> None:
    told = CliRunner().invoke(app, ["--version"])
    assert told.exit_code == 0
    assert told.stdout == f"maskgraph {version('maskgraph')}\n"


@pytest.mark.parametrize(
    "words", [["serve", "nothere.yaml"], ["convert", "nothere.yaml", "to", "--name", "a", "--licence", "b"]]
)
def test_a_file_that_is_not_there_is_named(words: list[str]) -> None:
    told = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert told.exit_code == 2
    assert "'nothere.yaml' does not exist" in told.stderr


@pytest.mark.parametrize("name", commands())
def test_each_command_has_its_help(name: str) -> None:
    told = CliRunner().invoke(app, [name, "--help"])
    assert told.exit_code == 0
    assert name in told.stdout


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
