"""One real Serve application for the whole session: start-up is dear, so tests vary the request."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest
import yaml

from benchmarks.processes import processes, titles, trees
from tests.ports import free_port

CONFIG = yaml.safe_load((Path(__file__).parents[2] / "serve_config.yaml").read_text(encoding="utf-8"))
"""The default application's; its services and its gate are served here, too."""
UPLOAD_TIMEOUT_S = 4.0


@dataclass(frozen=True)
class Addresses:
    """Where the served graph answers."""

    http: str
    """Base URL."""
    grpc: str
    """host:port"""


@pytest.fixture(scope="session")
def addresses() -> Iterator[Addresses]:
    """The served graph as maskgraph serve starts it: embedded weights, every dialect."""
    import ray

    from serve_app.commands.serving.addresses import addresses_of
    from serve_app.commands.serving.follow import Follower
    from serve_app.commands.serving.session import ray_session

    config = deepcopy(CONFIG)
    config["http_options"]["port"], config["grpc_options"]["port"] = free_port(), free_port()
    config["applications"][0]["args"] |= {
        "max_body_bytes": 16_000_000,
        "max_pixels": 40_000_000,
        "timeout_s": 120,
        "upload_timeout_s": UPLOAD_TIMEOUT_S,
    }
    # Ray's sockets lie below this folder, and a socket's path may have 107 characters at most.
    folder = tempfile.mkdtemp(prefix="mg", dir="/tmp")
    small = partial(
        ray.init, _temp_dir=folder, include_dashboard=False, num_cpus=8, object_store_memory=150 * 1024 * 1024
    )
    before = set(trees([os.getpid()]))
    try:
        with ExitStack() as stack:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(ray, "init", small)
                session = stack.enter_context(ray_session(config, verbose=False))
            found = addresses_of(config)
            assert found.grpc
            Follower(session, print).wait_until_ready(found.pages)
            started = trees([os.getpid()]).keys() - before
            yield Addresses(found.pages[0].rstrip("/"), found.grpc)
        assert not titles(started & processes().keys()), "maskgraph serve leaves processes behind"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def service(addresses: Addresses) -> str:
    """Base URL of the served graph."""
    return addresses.http


@pytest.fixture
def client(service: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service, timeout=60) as made:
        yield made
