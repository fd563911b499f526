"""``maskgraph serve``."""

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import typer
import yaml
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from rich.console import Console

from serve_app.checking.check import check_file
from serve_app.checking.machine import missing_files, missing_gpus, taken_ports
from serve_app.commands.check import located
from serve_app.commands.serving.addresses import Addresses, addresses_of
from serve_app.commands.serving.follow import Follower, StartFailed
from serve_app.commands.serving.session import Session, ray_session
from serve_app.commands.serving.status import cause


class Start(Protocol):
    """Starts a config and ends it."""

    def __call__(self, config: dict[str, Any], *, verbose: bool) -> AbstractContextManager[Session]: ...


def serve(file: Path, *, verbose: bool, start: Start = ray_session) -> bool:
    """Serve a config until Ctrl-C or SIGTERM; false if it is wrong, or fails, after saying why on stderr."""
    # Another cluster's files and ports are not this machine's.
    looks = [missing_files, missing_gpus, taken_ports] if os.environ.get("RAY_ADDRESS") == "local" else []
    problems = check_file(file, looks)
    for problem in problems:
        say(located(file, problem))
    if problems:
        return False
    config = yaml.safe_load(file.read_bytes())
    addresses = addresses_of(config)
    begin = time.monotonic()
    try:
        with Console(stderr=True).status("starting") as status, start(config, verbose=verbose) as session:
            follower = Follower(session, say)
            try:
                follower.wait_until_ready(addresses.pages)
                status.stop()
                for line in welcome(addresses, time.monotonic() - begin, session.logs):
                    typer.echo(line)
                follower.watch()
            except StartFailed as error:
                say(f"the service did not start:\n{error}\nall that was logged: {session.logs}")
                return False
            except KeyboardInterrupt:
                status.stop()
                say("ending")
    except KeyboardInterrupt:
        say("ended before it had started")
    except (RayError, RayServeException) as error:
        say(f"Ray failed: {cause(str(error))}")
        return False
    return True


def welcome(addresses: Addresses, seconds: float, logs: Path) -> Iterator[str]:
    """Where to click."""
    yield f"ready after {seconds:.0f} s"
    for page in addresses.pages:
        yield f"  page  {page}"
        yield f"  API   {page}docs"
    if addresses.grpc:
        yield f"  gRPC  {addresses.grpc}"
    yield f"  logs  {logs}"
    yield "Ctrl-C ends it"


def say(line: str) -> None:
    """On stderr, since stdout says where it serves."""
    typer.echo(line, err=True)
