import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from serve_app.cli import app
from serve_app.commands.doctor import command
from serve_app.commands.doctor.finding import Finding, ok


def doctor(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["doctor", *arguments], env={"COLUMNS": "200"})


def test_the_machine_that_runs_the_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can serve, whatever else there may be to say of it."""
    monkeypatch.setenv("MASKGRAPH_CACHE", str(tmp_path))
    monkeypatch.setattr(command.software, "requires", lambda distribution: ["pytest"])
    config = {
        "http_options": {"host": "127.0.0.1", "port": 0},
        "applications": [{"name": "a", "route_prefix": "/", "import_path": "serve_app.app:build"}],
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    done = doctor(str(tmp_path / "config.yaml"), "--json")
    found = {finding["subject"]: finding for finding in json.loads(done.stdout)}
    assert done.exit_code == 0
    assert {"packages", "torch", "CPU instructions", "CPU cores", "Ray", "cache", "config", "weights"} <= found.keys()
    assert all((finding["state"] == "ok") == (finding["mend"] == "") for finding in found.values())


def test_what_is_wrong_stands_with_its_mend_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = [ok("torch", "2.14"), Finding("Ray", "warning", "runs [here]", "stop it")]
    monkeypatch.setattr(command, "look", lambda config: findings)
    done = doctor()
    assert done.exit_code == 0
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["ok", "torch", "2.14"],
        ["warning", "Ray", "runs", "[here]"],
        ["->", "stop", "it"],
    ]
    findings.append(Finding("config", "wrong", "gone", "bring it"))
    assert doctor().exit_code == 1


def test_the_cache_is_cleaned_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKGRAPH_CACHE", str(tmp_path))
    monkeypatch.setattr(command, "look", lambda config: [])
    (tmp_path / "openvino" / "old").mkdir(parents=True)
    done = doctor("--clean-cache", "--json")
    assert json.loads(done.stdout) == []
    assert "removed" in done.stderr
    assert not (tmp_path / "openvino" / "old").exists()
