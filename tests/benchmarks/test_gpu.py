"""benchmarks/gpu.py must run where a GPU is lent for a quarter of an hour, so its steps are tried here, small."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import gpu
from benchmarks.gpu_steps import covered, operations


def test_the_same_steps_on_the_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    gpu.main(device="cpu", quick=True)
    printed = capsys.readouterr().out
    measured = json.loads(printed.splitlines()[-1])
    assert [(row["model"], row["batch"]) for row in measured["steps"]] == [
        (name, size) for name in gpu.MODELS.values() for size in gpu.QUICK.sizes
    ]
    for row in measured["steps"]:
        assert all(row[name] > 0 for name in ("copy_ms", "collate_ms", "network_ms", "run_ms", "finish_ms"))
    assert [(row["engine"], row["precision"], row["batch"]) for row in measured["r50"]] == [("eager", "float32", 1)]
    assert measured["limits"]["matrix_tflops"] > 0
    assert measured["photos_per_second"] > 0
    assert measured["busy"] is None
    assert "solov2_people, ms a photo" in printed


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_without_a_device_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    assert ended.value.code == 2
    assert "no CUDA device" in capsys.readouterr().err


def test_r50s_operations_are_those_of_the_literature() -> None:
    assert operations((800, 1344)) == pytest.approx(505e9, rel=0.02)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 10)), max_size=8))
def test_overlapping_spans_count_once(spans: list[tuple[int, int]]) -> None:
    touched = {moment for start, length in spans for moment in range(start, start + length)}
    assert covered((start, start + length) for start, length in spans) == len(touched)
