"""Who may come in and whose turn it is: all that is in flight in one process, and how fast it is being answered.

A request is taken only if the images ahead of it, at the speed measured, leave it time before its deadline; else it is
refused at once. The images of those taken wait for room, measured in pixels, and take turns.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from serve_app.pace import Pace

FILLED = 0.8
"""Share of the time before a deadline that the images ahead may fill: speeds vary, and answers must be written."""
LEAST_PIXELS = 250_000
"""What an image counts at least: a small one has a cost, too."""
LEAST_SHARE = 2
"""Images of one request that may always be at work at once: while one runs, the next waits beside the device."""
UNMEASURED = 64
"""Images that may be in flight before anything is known of a stage's speed."""
LONGEST_RETRY_S = 30
DECODE = "decode"
"""The stage that every image passes, whatever its tasks."""


OVERLOADED = "the service has as many images waiting as it can answer in time; try again later"


class Overloaded(Exception):
    """A request that could not be answered in time."""

    def __init__(self, retry_after_s: float, interval_s: float) -> None:
        super().__init__(OVERLOADED)
        self.retry_after_s = max(1, math.ceil(retry_after_s))
        """When there should be room: the images ahead answered, and those that were told so earlier."""
        self.interval_s = interval_s
        """How often room for one image comes."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one process may hold at once."""

    pixels: int = 64_000_000
    """Of decoded images; one with more goes alone."""
    bytes: int = 512 * 1024 * 1024
    """Of images as they came."""


@dataclass(eq=False, slots=True)
class _Turn:
    """An image that waits for its turn, or has it."""

    pixels: int
    ready: asyncio.Future[None]
    given: bool = False


@dataclass(eq=False, slots=True)
class Admitted:
    """A request that was taken."""

    stages: tuple[str, ...]
    deadline: float
    unanswered: int
    """Images."""
    at_work: int = 0
    waiting: deque[_Turn] = field(default_factory=deque)


class Admission:
    """The requests of one process, and the stages that their images pass: decoding, then each task's branch."""

    def __init__(self, tasks: Iterable[str], capacity: Capacity, clock: Callable[[], float] = time.monotonic) -> None:
        self.capacity = capacity
        self.clock = clock
        self.pixels = 0
        """Of images at work."""
        self.bytes = 0
        """Of the images of the requests that were taken, as they came."""
        self._paces = {stage: Pace(clock) for stage in (DECODE, *tasks)}
        self._ahead = dict.fromkeys(self._paces, 0)
        """Images taken and not answered yet, of each stage."""
        self._requests: dict[Admitted, None] = {}
        """In the order of their turns."""
        self._by_deadline: list[tuple[float, int, Admitted]] = []
        """A heap of those that may have images waiting."""
        self._count = count()
        self._at_work = 0
        self._most_urgent_next = False
        self._promised = 0.0

    @property
    def images(self) -> int:
        """Taken and not answered yet."""
        return self._ahead[DECODE]

    def expected_s(self) -> dict[str, float]:
        """Seconds until all images taken have passed each stage, at the speed measured; 0 before there is one."""
        return {
            stage: self._ahead[stage] / pace.images_per_s if pace.images_per_s else 0.0
            for stage, pace in self._paces.items()
        }

    def timed(self, stage: str) -> AbstractContextManager[None]:
        """Time one image's passage of a stage."""
        return self._paces[stage].timed()

    def check(self, time_left_s: float) -> None:
        """Raise Overloaded if not one image for the quickest branch could be answered in this time.

        For requests whose bodies are not read yet.
        """
        if self._requests:
            branches = [stage for stage in self._paces if stage != DECODE]
            quickest = min(branches, key=lambda stage: self._seconds_until_answered(stage, 1))
            self._refuse_if_late((quickest,), 1, time_left_s)

    @contextmanager
    def request(self, tasks: Iterable[str], images: int, size: int, deadline: float) -> Iterator[Admitted]:
        """Take a request of so many images, of ``size`` bytes together, until the context ends.

        ``deadline`` is in seconds of the clock. With nothing else in flight it is always taken: what was measured may
        be out of date, and only answers can mend it. Raises Overloaded.
        """
        stages = (DECODE, *tasks)
        if self._requests:
            self._refuse_if_late(stages, images, deadline - self.clock())
            if self.bytes + size > self.capacity.bytes:
                raise self._overloaded(stages, images, 0.0)
        request = Admitted(stages, deadline, images)
        self._requests[request] = None
        heappush(self._by_deadline, (deadline, next(self._count), request))
        self.bytes += size
        self._add(request, images)
        try:
            yield request
        finally:
            self._add(request, -request.unanswered)
            self.bytes -= size
            del self._requests[request]

    def answered(self, request: Admitted) -> None:
        """One image of a request is, whatever came of it."""
        request.unanswered -= 1
        self._add(request, -1)

    @asynccontextmanager
    async def turn(self, request: Admitted, pixels: int) -> AsyncIterator[None]:
        """One image's turn: it may be decoded and sent on.

        Raises TimeoutError at the request's deadline, or as soon as it can no longer be answered by then.
        """
        turn = _Turn(max(pixels, LEAST_PIXELS), asyncio.get_running_loop().create_future())
        request.waiting.append(turn)
        self._proceed()
        try:
            async with asyncio.timeout(request.deadline - self.clock()):
                await turn.ready
            yield
        finally:
            if turn.given:
                self.pixels -= turn.pixels
                self._at_work -= 1
                request.at_work -= 1
            elif turn in request.waiting:
                request.waiting.remove(turn)
            self._proceed()

    def _proceed(self) -> None:
        """Give turns for as long as there is room."""
        while self._at_work < self._most_at_work() and (request := self._next()):
            turn = request.waiting[0]
            if self._at_work and request.deadline - self.clock() < self._seconds_at_work(request):
                # It would come too late, and make the next one late: a service that was slowed down never recovered.
                request.waiting.popleft()
                if not turn.ready.done():
                    turn.ready.set_exception(TimeoutError())
                continue
            if self.pixels and self.pixels + turn.pixels > self.capacity.pixels:
                return
            request.waiting.popleft()
            request.at_work += 1
            self._at_work += 1
            self.pixels += turn.pixels
            self._requests[request] = self._requests.pop(request)
            self._most_urgent_next = not self._most_urgent_next
            turn.given = True
            if not turn.ready.done():  # else its caller has left, and gives the room back in the loop's next turn
                turn.ready.set_result(None)

    def _next(self) -> Admitted | None:
        """Whose turn it is: by turns the one that had none for longest, which is fair, and the one with the nearest
        deadline, without which a request of many images would never keep what its admission promised.
        """
        if self._most_urgent_next:
            return self._most_urgent()
        return next((each for each in self._requests if self._may_go(each)), None)

    def _most_urgent(self) -> Admitted | None:
        at_their_share = []
        found = None
        while self._by_deadline and found is None:
            entry = heappop(self._by_deadline)
            request = entry[2]
            if request.unanswered > request.at_work:  # else nothing of it waits, or ever will again
                at_their_share.append(entry)
            if self._may_go(request):
                found = request
        for entry in at_their_share:
            heappush(self._by_deadline, entry)
        return found

    def _may_go(self, request: Admitted) -> bool:
        return bool(request.waiting) and request.at_work < self._share(request)

    def _add(self, request: Admitted, images: int) -> None:
        for stage in request.stages:
            self._ahead[stage] += images

    def _share(self, request: Admitted) -> int:
        """Images of a request that may be at work at once: twice what keeps its stages busy.

        Their speed times the time of one image alone is what keeps them busy. So a request of many images waits for
        itself, not others for it, and grows with replicas and batches.
        """
        paces = [self._paces[stage] for stage in request.stages]
        return max(LEAST_SHARE, *(round(2 * pace.images_per_s * pace.alone_s) for pace in paces))

    def _most_at_work(self) -> int:
        """Images of all requests that may be at work at once: four times what keeps all stages busy.

        More would only wait in the branches' own queues, decoded, where whoever comes first is served first.
        """
        return 2 * max(LEAST_SHARE, round(2 * sum(pace.images_per_s * pace.alone_s for pace in self._paces.values())))

    def _seconds_at_work(self, request: Admitted) -> float:
        """From an image's turn to its answer, behind those at work."""
        speeds = [self._paces[stage].images_per_s for stage in request.stages]
        return max((self._at_work + 1) / speed if speed else 0.0 for speed in speeds)

    def _seconds_until_answered(self, stage: str, images: int) -> float:
        images += self._ahead[stage]
        speed = self._paces[stage].images_per_s
        if not speed:
            return math.inf if images > UNMEASURED else 0.0
        return images / speed

    def _refuse_if_late(self, stages: Iterable[str], images: int, time_left_s: float) -> None:
        late = max(self._seconds_until_answered(stage, images) for stage in stages) - FILLED * time_left_s
        if late > 0:
            raise self._overloaded(stages, images, late)

    def _overloaded(self, stages: Iterable[str], images: int, late_s: float) -> Overloaded:
        """Whoever is refused is told to come after those who were refused before."""
        interval = 1 / min(self._paces[stage].images_per_s or 1.0 for stage in stages)
        now = self.clock()
        latest = now + LONGEST_RETRY_S
        self._promised = min(max(now + late_s, self._promised) + images * interval, latest)
        return Overloaded(min(self._promised - now, LONGEST_RETRY_S), interval)
