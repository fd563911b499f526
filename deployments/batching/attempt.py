"""One call of a blocking batch function on a worker thread."""

import traceback
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import TypeVar

Argument = TypeVar("Argument")
Returned = TypeVar("Returned")


class BatchError(Exception):
    """A batch function returned the wrong number of results, or raised what no coroutine can (the ``__cause__``)."""


def attempt(function: Callable[[Argument], Returned], argument: Argument) -> Returned:
    """Call ``function``; what it raises comes out fit to pass through a future and to keep.

    ``CancelledError`` would pass for a cancellation of the caller, ``StopIteration`` would never arrive, ``SystemExit``
    would end the event loop: these become ``BatchError``. Tracebacks, those of causes too, keep their lines but not
    their local variables, which hold the failed batch's tensors, whose memory the next attempt needs.
    """
    try:
        return function(argument)
    except BaseException as error:
        each: BaseException | None = error
        while each is not None:
            traceback.clear_frames(each.__traceback__)
            each = each.__cause__ or each.__context__
        if isinstance(error, Exception) and not isinstance(error, (StopIteration, CancelledError)):
            raise
        raise BatchError(f"the batch function raised {type(error).__name__}") from error
