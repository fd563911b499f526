"""What several rooms' tests share and is slow to make."""

import os
import secrets
from pathlib import Path

import pytest

# Ray reads these when it is first imported, whichever test that is in. As make serve starts it: on loopback only, and
# behind a token, which here goes with the tests.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
os.environ["RAY_AUTH_MODE"] = "token"
os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def pytest_configure(config: pytest.Config) -> None:
    """Converted networks are kept from one test run to the next, and apart from the user's own."""
    if getattr(config, "cache", None) is not None:  # it is not there without its plugin
        os.environ.setdefault("MASKGRAPH_CACHE", str(config.cache.mkdir("maskgraph")))


@pytest.fixture(scope="session")
def solov2_people_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The card of the embedded segmenter as an ONNX file."""
    from training.export_onnx import export_onnx  # loads torch, which most tests do without

    return export_onnx("solov2_people", tmp_path_factory.mktemp("solov2_people"))
