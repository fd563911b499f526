"""Every command and snippet of the documentation, run as a reader would against the served graph."""

import contextlib
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.models.card import ModelCard
from serve_app.checking.check import check_text
from tests.docs.pages import PAGES, ROOT, Example, examples, read
from tests.photos import astronaut, jpeg
from tests.served.conftest import Addresses

OWN_TESTS = {
    "docs/client.md": "tests/serve_app/client/test_page.py",
    "docs/commands.md": "tests/docs/test_commands.py",
    "docs/protocols.md": "tests/served/test_protocols.py",
}
"""Pages whose examples are run there, since more is known of what they must say."""
RUN_HERE = [page for page in PAGES if page not in OWN_TESTS and examples(page)]
PHOTO = ROOT / "serve_app" / "web" / "samples" / "together.jpg"
FROM_THE_CHECKOUT = ("configs", "serve_config.yaml", "serve_app", "README.md")
MASKGRAPH = f"""#!/bin/sh
exec '{sys.executable}' -c 'from serve_app.cli import main; main()' "$@"
"""
ANYTHING = "..."
"""Stands in an answer that a page shows for what differs from run to run, or for the rest of a list."""
TIMEOUT_S = 120


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a checkout with some photos in it."""
    for name in FROM_THE_CHECKOUT:
        (tmp_path / name).symlink_to(ROOT / name)
    for name in ("photo.jpg", "photos/a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(PHOTO.read_bytes())
    (tmp_path / "other.jpg").write_bytes(jpeg(astronaut()[:256, 128:384]))
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "maskgraph").write_text(MASKGRAPH)
    (commands / "maskgraph").chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def here(code: str, addresses: Addresses) -> str:
    """The code, asking the served graph in place of a service on this machine's usual ports."""
    code = re.sub(r"(http://)?(localhost|127\.0\.0\.1):(8000|8866)\b", addresses.http, code)
    return re.sub(r"(localhost|127\.0\.0\.1):9000\b", addresses.grpc, code)


def run_bash(code: str, url: str) -> str:
    """What a command prints; it must succeed."""
    command = ["bash", "-o", "pipefail", "-ec", code]
    environment = os.environ | {"MASKGRAPH_URL": url}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, f"{code}\n{done.stdout}{done.stderr}"
    return done.stdout


def check_yaml(code: str) -> None:
    """A config is sound, and a card is one."""
    if "architecture" in yaml.safe_load(code):
        ModelCard.model_validate(yaml.safe_load(code))
    else:
        assert check_text(code) == []


def assert_shown(shown: Any, answered: Any, where: str = "") -> None:
    """A page shows what is answered: the keys and values that it has are there; numbers to two parts in a hundred."""
    match shown:
        case dict():
            for key, value in shown.items():
                assert_shown(value, answered[key], f"{where}.{key}")
        case [*items, "..."]:
            assert len(items) <= len(answered), where
            for index, item in enumerate(items):
                assert_shown(item, answered[index], f"{where}[{index}]")
        case list():
            assert len(shown) == len(answered), where
            for index, item in enumerate(shown):
                assert_shown(item, answered[index], f"{where}[{index}]")
        case str():
            pattern = ".*".join(map(re.escape, shown.split(ANYTHING)))
            assert re.fullmatch(pattern, str(answered), re.DOTALL), f"{where}: {answered}"
        case float():
            assert math.isclose(shown, answered, rel_tol=0.02), f"{where}: {answered}"
        case _:
            assert shown == answered, f"{where}: {answered}"


def run_page(page: str, addresses: Addresses) -> Iterator[tuple[Example, str]]:
    """Each example with what it printed. Those in Python share their names; JSON is what the last command printed."""
    names: dict[str, Any] = {}
    printed = ""
    for example in examples(page):
        if example.not_run is None:
            code = here(example.code, addresses)
            match example.language:
                case "bash":
                    printed = run_bash(code, addresses.http)
                case "python":
                    with contextlib.redirect_stdout(StringIO()) as out:
                        exec(compile(code, f"{page}:{example.line}", "exec"), names)
                    printed = out.getvalue()
                case "yaml":
                    check_yaml(code)
                case "json":
                    assert_shown(json.loads(code), json.loads(printed), page)
                case "text":
                    pass
                case other:
                    pytest.fail(f"{page}:{example.line}: nothing runs {other!r}")
        yield example, printed


@pytest.mark.serve
@pytest.mark.parametrize("page", RUN_HERE)
def test_every_example_runs(page: str, addresses: Addresses, folder: Path) -> None:
    printed = {example.line: text for example, text in run_page(page, addresses)}
    assert printed


def test_every_page_is_run_somewhere() -> None:
    for page in PAGES.keys() - set(RUN_HERE):
        if examples(page):
            assert page.rpartition("/")[2] in (ROOT / OWN_TESTS[page]).read_text(encoding="utf-8")
        elif page in OWN_TESTS:
            assert OWN_TESTS[page]
    assert all(re.search("^```", read(page), re.M) for page in RUN_HERE)


def test_an_answer_that_is_not_as_shown_is_found() -> None:
    assert_shown({"a": ["x...", 1.0, "..."]}, {"a": ["xyz", 1.01, 3], "b": 1})
    for shown in ({"a": ["y..."]}, {"a": ["xyz", 1.1, "..."]}, {"c": 1}, {"a": ["xyz", 1.0]}):
        with pytest.raises((AssertionError, KeyError)):
            assert_shown(shown, {"a": ["xyz", 1.01, 3], "b": 1})
