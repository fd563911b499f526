from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace

import pytest

from serve_app.commands.doctor import software

CPU_TORCH = SimpleNamespace(
    __version__="2.14", version=SimpleNamespace(cuda=None), cuda=SimpleNamespace(is_available=lambda: False)
)


def test_packages_that_are_missing_or_too_old_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = ["httpx>=0.28", *(f'{name}; extra == "service"' for name in ("ray[serve]>=99", "no-such>=1"))]
    needed.append('not-asked-for; extra == "other"')
    monkeypatch.setattr(software, "requires", lambda distribution: needed)
    (finding,) = software.packages()
    assert finding.state == "wrong"
    assert finding.message == f"ray {version('ray')} is not >=99; no-such is not installed"
    assert "maskgraph[service]" in finding.mend


def test_an_installation_that_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "requires", lambda distribution: ["pytest>=8"])
    (finding,) = software.packages()
    assert (finding.state, version("maskgraph") in finding.message) == ("ok", True)


def test_a_missing_engine_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [finding.state for finding in software.engines(CPU_TORCH)] == ["ok", "ok"]

    def missing(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(software, "version", missing)
    torch, openvino = software.engines(CPU_TORCH)
    assert (torch.state, openvino.state) == ("ok", "warning")
    assert "built for CPUs" in torch.message


def process(proc: Path, pid: int, command: str) -> None:
    (proc / str(pid)).mkdir(parents=True)
    (proc / str(pid) / "cmdline").write_text(command)


def test_a_cluster_that_runs_and_workers_without_one(tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    process(proc, 7, "python\0-m\0ray::no\0")
    clean, _ = software.ray(tmp_path, proc)
    assert (clean.state, "none runs here" in clean.message) == ("ok", True)

    process(proc, 9, "ray::ServeReplica:maskgraph:Ingress")
    left, _ = software.ray(tmp_path, proc)
    assert (left.state, "9" in left.message, "ray stop" in left.mend) == ("warning", True, True)

    process(proc, 8, "/lib/ray/core/src/ray/raylet/raylet\0--x\0")
    runs, _ = software.ray(tmp_path, proc)
    assert "process 8" in runs.message


def test_what_old_sessions_take_on_the_disk(tmp_path: Path) -> None:
    folder = tmp_path / "session_1" / "logs"
    folder.mkdir(parents=True)
    with (folder / "big").open("wb") as big:
        big.truncate(2 * 10**9)
    (tmp_path / "session_latest").symlink_to(tmp_path / "session_1")
    _, sessions = software.ray(tmp_path, tmp_path)
    assert sessions.state == "warning"
    assert sessions.message.startswith("1 sessions' logs")
    assert "2000 MB" in sessions.message
