"""Programs to copy from the page."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.serve_app.web.conftest import lines, photo, upload
from tests.serve_app.web.looks import copied_text, set_slider, shown_json


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_the_copied_curl_command_gives_the_answer_that_is_shown(page: Page, tmp_path: Path) -> None:
    picture = photo(name='it\'s "a" photo; 50%, really')
    (tmp_path / picture["name"]).write_bytes(picture["buffer"])
    upload(page, picture)
    lines(page)
    for threshold in (None, 0.95):
        if threshold:
            set_slider(page, "mask_detection.face_threshold", threshold)
        page.click("#tab-curl")
        command = ["bash", "-c", f"{copied_text(page)} -sS"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, timeout=30)
        assert json.loads(done.stdout)["images"] == shown_json(page)["images"]


def test_the_copied_python_program_runs(page: Page, tmp_path: Path) -> None:
    picture = photo(name="фото")
    (tmp_path / picture["name"]).write_bytes(picture["buffer"])
    upload(page, picture)
    lines(page)
    page.click("#tab-python")
    program = copied_text(page)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, check=True, text=True, timeout=60,
        env=os.environ | {"PYTHONUTF8": "1"},
    )  # fmt: skip
    assert [line.split(" {")[0] for line in done.stdout.splitlines()] == ["MASK 0.9876", "NO MASK 0.9543"]
