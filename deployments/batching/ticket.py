"""An item in a batcher, from its submission to its answer."""

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import Generic, TypeVar

from deployments.batching.budget import Shape

Item = TypeVar("Item")
Result = TypeVar("Result")

HUNG = "the device has not ended a batch in time"


class DeadlineExceeded(Exception):
    """The item's deadline passed before it ran."""


class QueueFull(Exception):
    """As many items wait as the queue holds."""


class Hung(Exception):
    """A call that did not end in time holds the batcher up."""


class BatcherClosed(Exception):
    """The batcher takes no more items; ``__cause__`` says why if it broke."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Result]):
    """An item's result and how it came about."""

    result: Result
    queue_s: float
    """Seconds from submission to the start of the run that gave the result: waiting, collation and failed attempts."""
    run_s: float
    """Seconds of that run."""
    batch_size: int
    """Items in that run."""
    batch: int
    """Number of that run."""


@dataclass(eq=False, slots=True)
class Ticket(Generic[Item, Result]):
    """What a caller waits for."""

    item: Item
    shape: Shape
    deadline: float | None
    submitted: float
    answer: asyncio.Future[Outcome[Result]]

    def alive(self) -> bool:
        """Whether someone still waits for the answer; a deadline found to have passed is answered."""
        if self.deadline is not None and monotonic() >= self.deadline:
            self.expire()
        return not self.answer.done()

    def expire(self) -> None:
        """Its deadline passed."""
        self.fail(DeadlineExceeded("the deadline passed before the item ran"))

    def fail(self, error: BaseException) -> None:
        """Answer with an error, unless it has an answer."""
        if not self.answer.done():
            self.answer.set_exception(error)
