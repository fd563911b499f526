"""The base install is light: the client and the command line run on its packages alone."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WITHOUT = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in {missing}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        return None

sys.meta_path.insert(0, Without)
"""
"""A finder by which some packages are missing, as in an environment that does not have them."""


def closure(requirements: Iterable[str]) -> set[str]:
    """The distributions that requirements bring with them, by their installed metadata."""
    found: set[str] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        assert not requirement.extras, f"{requirement}: its extra is not followed here"
        found.add(name)
        waiting += [Requirement(text) for text in requires(name) or ()]
    return found


def run_light(code: str) -> subprocess.CompletedProcess[str]:
    """Run Python code where only the base install's packages can be imported."""
    light = closure(PROJECT["dependencies"])
    missing = {
        module
        for module, brought_by in packages_distributions().items()
        if not light & {canonicalize_name(name) for name in brought_by} and module not in ("serve_app", "deployments")
    }
    code = WITHOUT.format(missing=sorted(missing)) + code
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)


def maskgraph(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_light(f"sys.argv = {['maskgraph', *arguments]}\nfrom serve_app.cli import main\nmain()")


def test_the_base_install_brings_none_of_the_services_packages() -> None:
    light = closure(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["client"])
    service = {canonicalize_name(Requirement(text).name) for text in PROJECT["optional-dependencies"]["service"]}
    # What typer, and anyio under httpx, ask for themselves.
    assert light & service <= {"pydantic", "typing-extensions"}
    assert {"torch", "ray", "opencv-python-headless", "pycocotools", "fastapi"} <= service


def test_modules_that_are_not_installed_are_not_there() -> None:
    done = run_light("import torch")
    assert done.returncode == 1
    assert "No module named 'torch'" in done.stderr


def test_the_client_works_on_the_base_install() -> None:
    done = run_light(
        "from serve_app.client import Box, Client, Instance\n"
        "instance = Instance(0, 'person', 0.9, Box(0, 0, 1, 2), 2, {'size': [2, 2], 'counts': '022'})\n"
        "print(Client().models.__name__, instance.mask.sum(), len(instance.polygon()))"
    )
    assert done.stdout == "models 2 1\n", done.stderr


def test_the_command_line_shows_its_help_on_the_base_install() -> None:
    done = maskgraph("--help")
    assert done.returncode == 0, done.stderr
    assert "predict" in done.stdout


def test_analyze_runs_on_the_base_install() -> None:
    done = maskgraph("analyze", "docs/answer.jpg", "--url", "http://127.0.0.1:9")
    assert done.returncode == 2
    assert "cannot connect to http://127.0.0.1:9" in done.stderr


@pytest.mark.parametrize("arguments", [("check", "serve_config.yaml"), ("predict", "README.md"), ("doctor",)])
def test_a_command_that_needs_the_service_names_the_extra_in_one_line(arguments: tuple[str, ...]) -> None:
    done = maskgraph(*arguments)
    assert done.returncode == 1
    assert re.fullmatch(r"this command needs \w+, .*: pip install 'maskgraph\[service\]'\n", done.stderr)


def test_both_packages_are_typed() -> None:
    for package in ("serve_app", "deployments"):
        assert (ROOT / package / "py.typed").is_file()
