"""Real clients whose pins clash with the project's: each in a virtual environment of its own, made once."""

import subprocess
import sys
from pathlib import Path

import pytest


def client_python(cache: Path, requirement: str) -> Path:
    """The Python of an environment under ``cache`` that holds ``requirement``; skips the test where pip has none."""
    folder = cache / requirement.replace("==", "-")
    python, made = folder / "bin" / "python", folder / "made"
    if not made.exists():
        try:
            for command in (
                [sys.executable, "-m", "venv", "--clear", str(folder)],
                [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement],
            ):
                subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
        except subprocess.SubprocessError as error:
            why = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
            pytest.skip(f"{requirement} cannot be installed here: {why[:200]}")
        made.touch()
    return python
