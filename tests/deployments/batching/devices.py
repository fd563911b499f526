"""Photos, devices and observers for the tests of the batcher."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from deployments.batching.batcher import Batcher
from deployments.batching.observer import BatchObserver

PATIENCE_S = 20
"""After which a test that waits for a thread is lost."""


@dataclass(frozen=True)
class Photo:
    name: str
    shape: tuple[int, int] = (10, 10)


def shape_of(photo: Photo) -> tuple[int, int]:
    return photo.shape


def photos(names: str, shape: tuple[int, int] = (10, 10)) -> list[Photo]:
    return [Photo(name, shape) for name in names]


class GatedDevice:
    """Announces each run to the test and holds it until the test lets it end."""

    def __init__(self) -> None:
        self.collated: list[str] = []
        self._loop = asyncio.get_running_loop()
        self._started: asyncio.Queue[str] = asyncio.Queue()
        self._collations: asyncio.Queue[str] = asyncio.Queue()
        self._gate = threading.Semaphore(0)

    def collate(self, items: list[Photo]) -> list[Photo]:
        names = "".join(item.name for item in items)
        self.collated.append(names)
        self._loop.call_soon_threadsafe(self._collations.put_nowait, names)
        return items

    def run(self, batch: list[Photo]) -> list[str]:
        self._loop.call_soon_threadsafe(self._started.put_nowait, "".join(item.name for item in batch))
        assert self._gate.acquire(timeout=PATIENCE_S)
        return [item.name.upper() for item in batch]

    async def started(self) -> str:
        """The names of the next batch to start."""
        return await asyncio.wait_for(self._started.get(), PATIENCE_S)

    async def collation(self) -> str:
        return await asyncio.wait_for(self._collations.get(), PATIENCE_S)

    def release(self, runs: int = 1) -> None:
        self._gate.release(runs)


@dataclass
class Recorder(BatchObserver):
    queue: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    runs_s: list[float] = field(default_factory=list)
    drops: list[str] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    def queue_changed(self, length: int) -> None:
        self.queue.append(length)

    def batch_ran(self, batch: int, items: Any, waits_s: Any, run_s: float) -> None:
        self.sizes.append(len(waits_s))
        self.waits_s.extend(waits_s)
        self.runs_s.append(run_s)

    def dropped(self, reason: str) -> None:
        self.drops.append(reason)

    def failed(self, error: BaseException) -> None:
        self.failures.append(error)


MakeBatcher = Callable[..., Batcher[Photo, Any, Any]]


def upper(batch: list[Photo]) -> list[str]:
    return [item.name.upper() for item in batch]


async def submit_all(batcher: Batcher[Photo, Any, Any], items: list[Photo]) -> list[Any]:
    """Results and errors, in order."""
    answers = await asyncio.wait_for(
        asyncio.gather(*map(batcher.submit, items), return_exceptions=True), timeout=PATIENCE_S
    )
    return [answer if isinstance(answer, BaseException) else answer.result for answer in answers]


def submitted(batcher: Batcher[Photo, Any, Any], items: list[Photo], **options: Any) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(batcher.submit(item, **options)) for item in items]


async def settled() -> None:
    """Let every callback that is due run."""
    for _ in range(5):
        await asyncio.sleep(0)
