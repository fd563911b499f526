import os
import shutil
import subprocess
import sys
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
