"""What a batcher reports."""

from collections.abc import Sequence
from typing import Literal


class BatchObserver:
    """Is told what happens in a batcher, on its event loop; this one ignores it."""

    def queue_changed(self, length: int) -> None:
        """``length`` items wait to be collated."""

    def batch_ran(self, waits_s: Sequence[float], run_s: float) -> None:
        """A run ended, well or not. ``waits_s`` has each of its items' seconds in the batcher before it."""

    def dropped(self, reason: Literal["cancelled", "expired", "rejected"]) -> None:
        """A caller left, a deadline passed, or the queue was full."""

    def failed(self, error: BaseException) -> None:
        """An item's caller got this error."""
