"""Damaged and hostile files: they load, or a ValueError says why not; nothing else, in bounded memory."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto

from deployments.calls import ObjectDetectionOptions
from deployments.models.onnx.file import read_signature
from deployments.models.onnx.model import OnnxModel
from tests.deployments.models.onnx.conftest import FinderFile
from tests.deployments.models.onnx.test_model import SPOTS, answers, card, item

INTEGERS = (0, 1, -1, 2, 3, 7, 16, 100, 1 << 20, 1 << 31, 1 << 40, (1 << 63) - 1, -(1 << 63))
FLOATS = (0.0, -1.0, 2.5, 1e30, float("inf"), float("nan"))
TEXTS = ("", "images", "scores", "boxes", "axis", "Add", "Reshape", "If", "Conv", "Resize", "Tile", "Gather", "Expand")
MEMORY = 512 * 1024**2
"""Bytes that loading a file of 3 kB may take at its peak."""
fuzzed = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
randoms = st.randoms(use_true_random=False)


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compiled of a file is kept, and of these nothing is worth keeping."""
    monkeypatch.setenv("MASKGRAPH_CACHE", str(tmp_path / "cache"))


def damaged(data: bytes, random: Random) -> bytes:
    """With bytes changed, taken away and put in."""
    result = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8))):
        at = random.randrange(len(result))
        length = random.randrange(1, 9)
        result[at : at + random.choice((0, 1, length))] = random.choice((b"", random.randbytes(length)))
    return bytes(result)


def altered(data: bytes, random: Random) -> bytes:
    """A file that can be parsed, with some of its values changed, and parts of its graph left out or doubled."""
    model = ModelProto.FromString(data)
    for _ in range(random.choice((1, 1, 2, 3))):
        _alter(model, random)
    return model.SerializeToString()


def _alter(message: Any, random: Random) -> None:
    field, value = random.choice(message.ListFields())
    many = hasattr(value, "append")
    if field.message_type is not None:
        inner = random.choice(value) if many else value
        if many and random.random() < 0.1:
            value.remove(inner)
        elif many and random.random() < 0.1:
            value.add().CopyFrom(inner)
        elif inner.ListFields():
            _alter(inner, random)
        return
    place = random.randrange(len(value)) if many else 0
    other = _other(value[place] if many else value, random)
    try:
        if many:
            value[place] = other
        else:
            setattr(message, field.name, other)
    except ValueError:  # beyond the field's range
        message.ClearField(field.name)


def _other(value: Any, random: Random) -> Any:
    if isinstance(value, int):
        return random.choice(INTEGERS)
    if isinstance(value, float):
        return random.choice(FLOATS)
    return random.choice(TEXTS) if isinstance(value, str) else damaged(value or b"x", random)


@contextmanager
def bounded_memory() -> Iterator[None]:
    """Assert that the process's peak stays within MEMORY of what it holds now, where the kernel tells."""
    peak = Path("/proc/self/clear_refs")
    try:
        peak.write_text("5")  # forgets the peak until now
    except OSError:
        yield
        return
    before = _highest_bytes()
    yield
    assert _highest_bytes() - before < MEMORY


def _highest_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


@pytest.mark.parametrize("change", [damaged, altered])
@settings(fuzzed, max_examples=150)
@given(random=randoms)
def test_reading(finder: FinderFile, tmp_path: Path, change: Any, random: Random) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(change(finder().read_bytes(), random))
    with bounded_memory(), suppress(ValueError):
        assert len(read_signature(path).outputs) > 0


@settings(fuzzed, max_examples=40)
@given(random=randoms)
def test_loading_and_running(finder: FinderFile, tmp_path: Path, random: Random) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(altered(finder().read_bytes(), random))
    with bounded_memory(), suppress(ValueError):
        (found,) = answers(OnnxModel(card(), path, torch.device("cpu")), item(SPOTS, ObjectDetectionOptions()))
        assert len(found) <= 100
