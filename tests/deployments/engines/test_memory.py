import numpy as np
import pytest
import torch

from deployments.engines.memory import memory_errors


@memory_errors
def fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("std::bad_alloc"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("Exception from src/inference/src/cpp/infer_request.cpp:223:\nstd::bad_alloc"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer"),
        ValueError("the file fails on [1, 3, 640, 640]: bad allocation"),
    ],
)
def test_every_want_of_memory_is_a_memory_error(error: Exception) -> None:
    with pytest.raises(MemoryError) as raised:
        fail(error)
    assert str(raised.value) in str(error)


def test_what_torch_and_numpy_raise_themselves() -> None:
    with pytest.raises(MemoryError):
        memory_errors(torch.empty)(10**15)
    with pytest.raises(MemoryError):
        memory_errors(np.empty)(10**15)


def test_other_errors_stay_what_they_are() -> None:
    for error in (RuntimeError("the sizes do not match"), ValueError("7 is not in range"), KeyError("memory")):
        with pytest.raises(type(error)) as raised:
            fail(error)
        assert raised.value is error
