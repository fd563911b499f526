"""Admission against servers that take their time, in virtual time: overload, fairness, and what was promised."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field

import pytest

from serve_app.admission import DECODE, Admission, Admitted, Capacity, Overloaded
from tests.serve_app.virtual_time import run

FACES = "mask_detection"
RUN_S = 0.1
PIXELS = 2_000_000
DEADLINE_S = 30.0


@dataclass
class Service:
    """Two threads decode; each replica runs a batch of all that waits, up to its size, in the time of one image."""

    replicas: int = 1
    batch: int = 1
    admission: Admission = field(init=False)
    answered: list[tuple[float, float]] = field(default_factory=list)
    """When each request that was answered arrived, and ended."""
    late: int = 0
    refused: list[int] = field(default_factory=list)
    """What each was told to wait, in seconds."""

    def __post_init__(self) -> None:
        self.admission = Admission((FACES,), Capacity(), asyncio.get_running_loop().time)
        self.threads = asyncio.Semaphore(2)
        self.queue: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()
        self.running = [asyncio.create_task(self._replica()) for _ in range(self.replicas)]

    async def _replica(self) -> None:
        while True:
            batch = [await self.queue.get()]
            while len(batch) < self.batch and not self.queue.empty():
                batch.append(self.queue.get_nowait())
            batch = [image for image in batch if not image.done()]
            await asyncio.sleep(RUN_S if batch else 0)
            for image in batch:
                if not image.done():
                    image.set_result(None)

    async def _image(self, request: Admitted) -> None:
        async with self.admission.turn(request, PIXELS):
            with self.admission.timed(DECODE):
                async with self.threads:
                    await asyncio.sleep(0.01)
            with self.admission.timed(FACES):
                done = asyncio.get_running_loop().create_future()
                self.queue.put_nowait(done)
                async with asyncio.timeout(request.deadline - self.admission.clock()):
                    await done
        self.admission.answered(request)

    async def ask(self, images: int = 1) -> float | None:
        """Seconds to the answer; None where it was refused or came too late."""
        arrived = self.admission.clock()
        try:
            with self.admission.request((FACES,), images, 1000, arrived + DEADLINE_S) as admitted:
                await asyncio.gather(*(self._image(admitted) for _ in range(images)))
        except Overloaded as overloaded:
            self.refused.append(overloaded.retry_after_s)
            return None
        except TimeoutError:
            self.late += 1
            return None
        self.answered.append((arrived, self.admission.clock()))
        return self.admission.clock() - arrived

    async def under(self, rate: float, seconds: float, meanwhile: Awaitable[float | None]) -> float | None:
        """Single photos at a constant rate, and something else beside them."""
        beside = asyncio.ensure_future(meanwhile)
        asked = []
        for _ in range(int(rate * seconds)):
            asked.append(asyncio.create_task(self.ask()))
            await asyncio.sleep(1 / rate)
        await asyncio.gather(*asked)
        return await beside

    def goodput(self, start: float, end: float) -> float:
        """Answers a second that ended between two moments."""
        return sum(start <= ended < end for _, ended in self.answered) / (end - start)


@pytest.mark.parametrize(("replicas", "batch"), [(1, 1), (3, 1), (1, 4)])
def test_four_times_what_can_be_answered(replicas: int, batch: int) -> None:
    async def overload() -> None:
        service = Service(replicas, batch)
        capacity = replicas * batch / RUN_S
        await service.under(4 * capacity, 60, asyncio.sleep(0, None))
        assert service.late == 0
        assert max(ended - arrived for arrived, ended in service.answered) < DEADLINE_S
        assert service.goodput(0, 60) >= 0.9 * capacity
        assert service.admission.images == service.admission.pixels == 0
        assert len(service.refused) >= 100 * capacity
        assert 1 <= min(service.refused) <= max(service.refused) <= 30

    run(overload())


def test_a_photo_beside_a_request_of_64() -> None:
    async def measure() -> None:
        service = Service()
        alone = await service.ask()
        many = asyncio.create_task(service.ask(64))
        await asyncio.sleep(0.5)
        beside = [await service.ask() for _ in range(10)]
        assert alone is not None
        assert all(each is not None and each <= 3.1 * alone for each in beside)
        together = await many
        assert together is not None
        assert together <= (64 + 10) * RUN_S * 1.1  # the device is never idle

    run(measure())


def test_a_request_of_many_that_was_admitted_is_answered_under_overload() -> None:
    async def measure() -> None:
        service = Service()
        await service.ask()
        assert await service.under(40, 40, service.ask(64)) is not None
        assert service.late == 0

    run(measure())


def test_replicas_that_go_are_noticed() -> None:
    """From three to one in mid-flight: what was promised before may come too late, what is admitted later does not."""

    async def lose_two() -> None:
        service = Service(replicas=3)

        async def kill() -> None:
            await asyncio.sleep(40)
            for replica in service.running[1:]:
                replica.cancel()

        await service.under(45, 120, kill())
        assert service.goodput(100, 120) >= 0.9 / RUN_S

    run(lose_two())
