"""Finders as ONNX files, each written once."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

from tests.deployments.models.onnx.files import Finder, export

FinderFile = Callable[..., Path]


@pytest.fixture(scope="session")
def finder(tmp_path_factory: pytest.TempPathFactory) -> FinderFile:
    """Writes a Finder's file. fixed: its batch, height and width; any where None."""
    folder = tmp_path_factory.mktemp("finders")

    @cache
    def written(masks: bool = False, fixed: tuple[int, int, int] | None = None) -> Path:
        batch, height, width = fixed or (2, 64, 64)
        outputs = ("boxes", "scores", "labels", *(["masks"] if masks else []))
        path = folder / f"{masks}-{batch}-{height}-{width}.onnx"
        return export(Finder(masks), torch.rand(batch, 3, height, width), path, outputs, () if fixed else (0, 2, 3))

    return written
