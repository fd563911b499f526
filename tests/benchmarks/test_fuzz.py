"""What fuzzing starts from is sound: each target takes its own valid inputs, and bytes that are none."""

import pytest

from benchmarks.fuzzing.target import WrongAnswer
from benchmarks.fuzzing.targets import TARGETS, made


@pytest.mark.parametrize("name", TARGETS)
def test_seeds(name: str) -> None:
    target = made(name)
    for data in (*target.seeds.values(), b"", b"\xff" * 100):
        target.check(data)


def test_a_fault_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    target = made("native")
    monkeypatch.setattr("serve_app.pipeline.decode", lambda data, max_pixels: 1 / 0)
    with pytest.raises(WrongAnswer, match="500"):
        target.check(target.seeds["raw"])
