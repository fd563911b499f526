import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI, Request, Response
from typer.testing import CliRunner

from serve_app.cli import app
from serve_app.commands.bench import command
from serve_app.commands.bench.command import SAMPLES, failed_branch
from serve_app.commands.bench.own_service import own_service
from tests.serve_app.protocols.loopback import serving

WELL = b'{"images": [{"errors": []}]}'


@pytest.fixture
def seen() -> list[tuple[bytes, str | None]]:
    """Bodies and keys that the service got."""
    return []


@pytest.fixture
def url(seen: list[tuple[bytes, str | None]]) -> Iterator[str]:
    service = FastAPI()

    @service.post("/analyze")
    async def analyze(request: Request) -> Response:
        body = await request.body()
        seen.append((body, request.headers.get("x-api-key")))
        if body == b"refused" and len(seen) > 3:
            return Response(b"{}", 503, media_type="application/json")
        return Response(WELL, media_type="application/json")

    with serving(service) as base:
        yield base


def bench(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["bench", "--seconds", "0.1", "--clients", "2", *arguments])
    return done.exit_code, done.stdout, done.stderr


def test_the_samples_are_posted_by_default_and_counted(url: str, seen: list[tuple[bytes, str | None]]) -> None:
    status, told, _ = bench("--url", url + "/", "--json", "--api-key", "secret")
    assert status == 0
    measured = json.loads(told)
    assert measured["clients"] == 2
    assert measured["answers"] >= 2
    assert measured["answers_per_s"] > 0
    assert 0 < measured["p50_ms"] <= measured["p95_ms"] <= measured["p99_ms"]
    assert measured["errors"] == {}
    assert {body for body, _ in seen} == {path.read_bytes() for path in SAMPLES.iterdir()}
    assert {key for _, key in seen} == {"secret"}


def test_errors_are_told_by_kind_and_by_the_exit_status(url: str, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"refused")
    status, told, _ = bench(str(photo), "--url", url)
    assert status == 1
    assert "503 application/json" in told


def test_a_service_that_is_not_there_is_one_line() -> None:
    status, told, error = bench("--url", "http://127.0.0.1:9")
    assert (status, told) == (2, "")
    assert error.startswith("maskgraph: http://127.0.0.1:9 did not answer a photo: ClientConnectorError.")
    assert len(error.splitlines()) == 1


def test_without_a_url_a_service_is_started_and_ended(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []

    @contextmanager
    def started() -> Iterator[str]:
        yield url
        ended.append(True)

    monkeypatch.setattr(command, "own_service", started)
    assert bench("--json")[0] == 0
    assert ended


def test_a_service_of_its_own_is_asked_where_it_says_that_it_is(tmp_path: Path) -> None:
    code = "import signal\nprint('ready after 1 s\\n  page  http://127.0.0.1:1/', flush=True)\nsignal.pause()"
    with own_service([sys.executable, "-c", code]) as found:
        assert found == "http://127.0.0.1:1/"


def test_a_service_of_its_own_that_does_not_start() -> None:
    with pytest.raises(ValueError, match="no service could be started"), own_service([sys.executable, "-c", ""]):
        pytest.fail("there is none")


def test_a_branch_that_gave_no_answer_is_an_error() -> None:
    assert failed_branch(WELL) is None
    assert failed_branch(b'{"images": [{"errors": [{"code": "overloaded"}]}]}') == "overloaded"
