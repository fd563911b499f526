"""``maskgraph serve --load``: HAProxy stands where Serve's own proxy does, and what is promised holds there too."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import httpx
import pytest
import yaml

from tests.ports import free_port
from tests.served import uploads
from tests.served.conftest import CONFIG, UPLOAD_TIMEOUT_S
from tests.served.uploads import JPEG, PHOTO

pytestmark = pytest.mark.serve

HAPROXYS_OWN = ("RAY_SERVE_HAPROXY_STATS_PORT", "RAY_SERVE_HAPROXY_METRICS_PORT")
"""Variables that say where it tells of itself."""
READY_S = 120


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of the embedded models behind HAProxy."""
    config = deepcopy(CONFIG)
    port = free_port()
    config["http_options"]["port"], config["grpc_options"]["port"] = port, free_port()
    config["applications"][0]["args"] |= {"max_body_bytes": 16_000_000, "upload_timeout_s": UPLOAD_TIMEOUT_S}
    folder = tmp_path_factory.mktemp("haproxy")
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [str(Path(sys.executable).with_name("maskgraph")), "serve", str(folder / "config.yaml"), "--load"]
    # Ray's sockets lie below this folder, and a socket's path may have 107 characters at most.
    with tempfile.TemporaryDirectory(prefix="mg", dir="/tmp", ignore_cleanup_errors=True) as ray:
        environment = {**os.environ, "RAY_ADDRESS": "local", "RAY_TMPDIR": ray}
        environment |= {name: str(free_port()) for name in HAPROXYS_OWN}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
            try:
                yield wait_until_ready(f"http://127.0.0.1:{port}", running)
            finally:
                running.send_signal(signal.SIGTERM)
                running.wait(60)


def wait_until_ready(url: str, running: subprocess.Popen[bytes]) -> str:
    """The URL, once it answers; what was said fails the test where it does not."""
    end = time.monotonic() + READY_S
    while time.monotonic() < end and running.poll() is None:
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return url
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    running.kill()
    said, _ = running.communicate()
    pytest.fail(f"not ready: {said.decode(errors='replace')[-2000:]}")


def test_photos_are_answered(behind: str) -> None:
    answer = httpx.post(f"{behind}/analyze", content=PHOTO, headers=JPEG, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.json()["images"][0]["faces"]


async def test_no_header_changes_the_deadline(behind: str) -> None:
    await uploads.no_header_changes_the_deadline(behind)


async def test_stalled_uploads_end_and_hold_up_nobody(behind: str) -> None:
    await uploads.stalled_uploads_end_and_hold_up_nobody(behind)


async def test_a_chunked_body_over_the_limit_is_refused_while_it_comes(behind: str) -> None:
    await uploads.a_chunked_body_over_the_limit_is_refused_while_it_comes(behind)
