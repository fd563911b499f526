"""The command around a session that is not Ray's."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import RaySystemError
from ray.serve.schema import ServeStatus

from serve_app.commands.serving import command, follow
from tests.serve_app.commands.serving.statuses import RETRYING, WAITING, status

CONFIG = Path(__file__).parents[4] / "serve_config.yaml"
STARTING = status("DEPLOYING", MaskDetection=("UPDATING", ""))


class FakeSession:
    """Gives one status after another, each for one look, and is then interrupted as by Ctrl-C."""

    logs = Path("/logs")

    def __init__(self) -> None:
        self.statuses: list[ServeStatus] = []
        self.verbose = self.ended = False

    def status(self) -> ServeStatus:
        if not self.statuses:
            raise KeyboardInterrupt
        return self.statuses[0]

    @contextmanager
    def start(self, config: dict[str, Any], *, verbose: bool) -> Iterator["FakeSession"]:
        self.verbose = verbose
        try:
            yield self
        finally:
            self.ended = True


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> FakeSession:
    session = FakeSession()
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(follow, "is_ready", lambda page: True)
    monkeypatch.setattr(follow.time, "sleep", lambda seconds: session.statuses.pop(0))
    return session


Serve = Callable[..., bool]


@pytest.fixture
def serve(session: FakeSession) -> Serve:
    def call(*statuses: ServeStatus, file: Path = CONFIG, verbose: bool = False) -> bool:
        session.statuses = list(statuses)
        return command.serve(file, verbose=verbose, start=session.start)

    return call


def test_where_to_click_is_said_once_it_is_ready(
    serve: Serve, session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    assert serve(ServeStatus(), STARTING, status(), verbose=True)
    said = capsys.readouterr()
    assert "http://127.0.0.1:8000/\n" in said.out
    assert "http://127.0.0.1:8000/docs\n" in said.out
    assert "127.0.0.1:9000\n" in said.out
    assert said.err == "ending\n"
    assert session.ended
    assert session.verbose


def test_it_is_not_ready_before_its_models_answer(
    serve: Serve, session: FakeSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(follow, "is_ready", lambda page: False)
    assert serve(status(), status())
    assert "http" not in capsys.readouterr().out


def test_a_failed_start_says_why_and_ends(
    serve: Serve, session: FakeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not serve(STARTING, status("DEPLOYING", MaskDetection=("UPDATING", RETRYING)))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[1] == (
        "MaskDetection: precision float16 needs a CUDA device; the CPU has float32 and bfloat16"
    )
    assert "Traceback" not in said.err
    assert "/logs" in said.err
    assert session.ended


def test_ray_s_own_failure_is_a_line(
    serve: Serve, session: FakeSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lost(self: FakeSession) -> ServeStatus:
        raise RaySystemError("the head node is gone")

    monkeypatch.setattr(FakeSession, "status", lost)
    assert not serve()
    said = capsys.readouterr().err
    assert said.startswith("Ray failed: ")
    assert "the head node is gone" in said
    assert len(said.splitlines()) == 1
    assert session.ended


def test_troubles_are_told_when_they_come_and_when_they_are_over(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    waiting = status("DEPLOYING", MaskDetection=("UPDATING", WAITING))
    sick = status("UNHEALTHY", "", Ingress=("UNHEALTHY", "its check failed"))
    assert serve(waiting, waiting, status(), sick, sick, status())
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == ["MaskDetection", "MaskDetection", "Ingress", "Ingress", "ending"]
    assert lines[1:4] == [
        "MaskDetection is well again",
        "Ingress unhealthy: its check failed",
        "Ingress is well again",
    ]


def test_a_wrong_config_is_named_and_nothing_started(
    serve: Serve, session: FakeSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.yaml"
    shutil.copy(CONFIG, file)
    file.write_text(file.read_text().replace("proxy_location", "proxy_locaton"))
    assert not serve(status(), file=file)
    said = capsys.readouterr()
    assert f"{file}:2: proxy_locaton: unknown key; did you mean proxy_location?" in said.err
    assert not session.ended


def test_the_machine_is_looked_at_only_where_it_is_the_one_that_serves(
    serve: Serve,
    session: FakeSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG.read_text().replace("device: auto", "mask_detection: gone.yaml"))
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert serve(status(), file=file)
    monkeypatch.setenv("RAY_ADDRESS", "local")
    assert not serve(status(), file=file)
    assert "gone.yaml" in capsys.readouterr().err
