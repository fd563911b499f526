"""Every example of docs/client.md, in order, as a reader would run them."""

import contextlib
import json
import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from tests.photos import astronaut, png
from tests.serve_app.protocols.loopback import serving

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```(python|bash)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
MASKGRAPH = f"""#!/bin/sh
exec '{sys.executable}' -c 'from serve_app.cli import main; main()' "$@"
"""


def run_bash(code: str, url: str) -> str:
    """Run a command with this checkout's ``maskgraph``, in the current folder."""
    script = Path("maskgraph")
    script.write_text(MASKGRAPH)
    script.chmod(0o755)
    path = f"{Path.cwd()}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "MASKGRAPH_URL": url}
    done = subprocess.run(["bash", "-ec", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_examples(app: FastAPI, photo: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photo.jpg").write_bytes(photo)
    (tmp_path / "other.jpg").write_bytes(png(astronaut()[100:148, 200:264]))
    for name in ("photos/a.jpg", "more/b.png", "more/deep/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(photo)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    printed = []
    with serving(app) as url:
        for language, code in EXAMPLES:
            with contextlib.redirect_stdout(StringIO()) as out:
                if language == "bash":
                    print(run_bash(code, url))
                else:
                    exec(code.replace("http://127.0.0.1:8000", url), names)
            printed.append(out.getvalue())
        names["client"].close()
    assert printed[0].startswith("MASK Box(left=10")
    assert len(names["detections"]) == 2
    assert len(json.loads(Path("coco.json").read_text())["images"]) == 2
    assert "2\n" in printed
    assert any(text.startswith("415 unsupported_format the data is not a JPEG") for text in printed)
    asked = ("more/b.png", "more/deep/c.png", "photos/a.jpg")
    assert sorted(printed[-1].splitlines()) == [f"{name} ['MASK']" for name in asked]
    assert {path.as_posix() for path in Path("drawn").rglob("*.jpg")} == {
        "drawn/a.jpg",
        "drawn/b.png.jpg",
        "drawn/deep/c.png.jpg",
    }
    assert len(Path("summary.csv").read_text().splitlines()) == 4


def test_the_examples_are_found() -> None:
    assert [language for language, _ in EXAMPLES].count("python") == 7
    assert [language for language, _ in EXAMPLES].count("bash") == 1
