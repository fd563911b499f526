"""The policy under Serve itself: replicas come with the load and go without it, and no request is lost meanwhile."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.chaos
def test_replicas_follow_a_step_of_load_and_lose_no_request(tmp_path: Path) -> None:
    seen = tmp_path / "seen.json"
    command = [
        sys.executable,
        "-m",
        "benchmarks.autoscaling_run",
        "--up-s",
        "16",
        "--down-s",
        "16",
        "--json",
        str(seen),
    ]
    environment = {**os.environ, "RAY_ADDRESS": "local"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    record = json.loads(seen.read_text())
    assert record["replicas"][0] == 1
    assert max(record["replicas"]) == 3
    assert record["replicas"][-1] < 3
    assert record["answers"] > 100
    assert record["lost"] == 0
