"""What several rooms' tests share and is slow to make."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def solov2_people_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The card of the embedded segmenter as an ONNX file."""
    from training.export_onnx import export_onnx  # loads torch, which most tests do without

    return export_onnx("solov2_people", tmp_path_factory.mktemp("solov2_people"))
