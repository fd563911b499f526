"""What frameworks raise for want of memory, under one name."""

import re
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

WORDS = re.compile(r"out of memory|bad_alloc|bad allocation|(can't|cannot|failed to) allocate|_ALLOC_FAILED", re.I)


def memory_errors(function: Callable[P, T]) -> Callable[P, T]:
    """A function that raises MemoryError for all that means it.

    Python, numpy and pybind11 raise it by themselves. torch raises a RuntimeError, of a class of its own on CUDA alone;
    OpenVINO and ONNX Runtime put C++'s ``std::bad_alloc`` into an error's text, cuBLAS and cuDNN their status.
    """

    @wraps(function)
    def call(*arguments: P.args, **named: P.kwargs) -> T:
        try:
            return function(*arguments, **named)
        except Exception as error:
            if not isinstance(error, MemoryError) and WORDS.search(str(error)):
                raise MemoryError(str(error).partition("\n")[0]) from error
            raise

    return call
