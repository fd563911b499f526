"""Every example of docs/protocols.md, run as a reader would: many clients, one service, the same faces."""

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import pytest

from serve_app.settings import Dialect
from tests.photos import SHARED, jpeg, masked_astronaut
from tests.serve_app.protocols.client_venv import client_python
from tests.served.conftest import Addresses

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"^### (.+)\n(?:(?!###|```).*\n)*```(python|bash)\n((?:(?!```).*\n)*)```$", re.MULTILINE)
EXAMPLES = {title: (language, code) for title, language, code in EXAMPLE.findall(PAGE)}
SDK = "Roboflow with inference-sdk"
HERE = [title for title in EXAMPLES if title != SDK]
"""The examples whose clients live in this environment."""
AT_ONCE = 2
TIMEOUT_S = 120

Done = subprocess.CompletedProcess[str]


def missing(title: str) -> str:
    """What an example needs and is not installed here."""
    language, code = EXAMPLES[title]
    if language == "bash":
        return ", ".join(tool for tool in ("bash", "curl", "base64") if shutil.which(tool) is None)
    modules = re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE)
    return ", ".join(module for module in modules if find_spec(module) is None)


def run_example(title: str, python: Path, photo: Path, addresses: Addresses) -> Done:
    """Run an example in the photo's folder against the served graph."""
    language, code = EXAMPLES[title]
    code = code.replace("127.0.0.1:8000", addresses.http.removeprefix("http://"))
    code = code.replace("127.0.0.1:9000", addresses.grpc)
    command = ["bash", "-o", "pipefail", "-ec", code] if language == "bash" else [str(python), "-c", code]
    environment = os.environ | {
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    return subprocess.run(
        command, cwd=photo.parent, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


def assert_prints(done: Done, labels: list[str]) -> None:
    """The example succeeded and printed these labels, in any order."""
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(done.stdout.splitlines()) == labels, done.stdout + done.stderr


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``photo.jpg``, in a folder of its own."""
    family = SHARED / "photos" / "family_mask.jpg"
    path = tmp_path_factory.mktemp("examples") / "photo.jpg"
    path.write_bytes(family.read_bytes() if family.is_file() else jpeg(masked_astronaut()))
    return path


@pytest.fixture(scope="module")
def labels() -> list[str]:
    """Of the faces in ``photo``, sorted."""
    return ["MASK", "MASK", "NO MASK"] if (SHARED / "photos" / "family_mask.jpg").is_file() else ["MASK"]


@pytest.fixture(scope="module")
def done(addresses: Addresses, photo: Path) -> dict[str, Done]:
    """Each example that can run here, by its title."""
    titles = [title for title in HERE if not missing(title)]
    run = partial(run_example, python=Path(sys.executable), photo=photo, addresses=addresses)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(titles, pool.map(run, titles), strict=True))


def test_the_page_covers_every_dialect() -> None:
    table = [line for line in PAGE.splitlines() if line.startswith("| ")]
    for dialect in get_args(Dialect):
        assert any(f": `{dialect}` |" in line for line in table), dialect
    assert len(EXAMPLES) == len(re.findall("^```[a-z]", PAGE, re.MULTILINE)) == 10


@pytest.mark.serve
@pytest.mark.parametrize("title", HERE)
def test_every_client_sees_the_same_faces(request: pytest.FixtureRequest, title: str, labels: list[str]) -> None:
    if absent := missing(title):
        pytest.skip(f"not installed here: {absent}")
    assert_prints(request.getfixturevalue("done")[title], labels)


@pytest.mark.serve
@pytest.mark.clients
def test_inference_sdk_sees_the_same_faces(
    addresses: Addresses, photo: Path, labels: list[str], pytestconfig: pytest.Config
) -> None:
    python = client_python(Path(pytestconfig.cache.mkdir("clients")), "inference-sdk==1.8.3")  # type: ignore[union-attr]
    assert_prints(run_example(SDK, python, photo, addresses), labels)
