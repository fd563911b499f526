"""What a batcher reports."""

from collections.abc import Sequence
from typing import Any, Literal


class BatchObserver:
    """Is told what happens in a batcher and right behind it, on its event loop; this one ignores it."""

    def queue_changed(self, length: int) -> None:
        """``length`` items wait to be collated."""

    def batch_ran(self, batch: int, items: Sequence[Any], waits_s: Sequence[float], run_s: float) -> None:
        """A run ended, well or not; the batcher counts its runs. ``waits_s`` are the items' seconds before it."""

    def finished(self, seconds: float) -> None:
        """An item's result was made an answer in so much time."""

    def dropped(self, reason: Literal["cancelled", "expired", "rejected"]) -> None:
        """A caller left, a deadline passed, or the queue was full."""

    def failed(self, error: BaseException) -> None:
        """An item's caller got this error."""
