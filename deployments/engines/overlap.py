"""A batch is brought to the device while the one before it computes there."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch

Items = TypeVar("Items")
Batch = TypeVar("Batch")
Result = TypeVar("Result")


class Overlap(Generic[Items, Batch, Result]):
    """Collates on a CUDA stream of its own, of which a run's stream waits for no more than its batch.

    One batch is collated at a time, and one runs. On the CPU torch's own stand-ins for streams and events do nothing.
    """

    def __init__(self, device: torch.device) -> None:
        self._streams: Any = torch.get_device_module(device)
        self._beside = self._streams.Stream()

    def collating(self, collate: Callable[[Items], Batch]) -> Callable[[Items], tuple[Batch, Any]]:
        """The same, but it gives the batch with the event after which its memory is filled."""

        def collate_beside(items: Items) -> tuple[Batch, Any]:
            filled = self._streams.Event()
            with self._streams.stream(self._beside):
                batch = collate(items)
                filled.record(self._beside)
            return batch, filled

        return collate_beside

    def running(self, run: Callable[[Batch], Result]) -> Callable[[tuple[Batch, Any]], Result]:
        """The same, for what ``collating`` gives."""

        def run_after(collated: tuple[Batch, Any]) -> Result:
            batch, filled = collated
            compute = self._streams.current_stream()
            compute.wait_event(filled)
            try:
                return run(batch)
            finally:
                # The batch's memory goes back to the other stream, which must not fill it anew before this one is done.
                self._beside.wait_stream(compute)

        return run_after
