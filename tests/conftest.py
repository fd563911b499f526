"""What several rooms' tests share and is slow to make."""

import os
from pathlib import Path

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Converted networks are kept from one test run to the next, and apart from the user's own."""
    if getattr(config, "cache", None) is not None:  # it is not there without its plugin
        os.environ.setdefault("MASKGRAPH_CACHE", str(config.cache.mkdir("maskgraph")))


@pytest.fixture(scope="session")
def solov2_people_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The card of the embedded segmenter as an ONNX file."""
    from training.export_onnx import export_onnx  # loads torch, which most tests do without

    return export_onnx("solov2_people", tmp_path_factory.mktemp("solov2_people"))
