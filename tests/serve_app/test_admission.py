"""Who is admitted and whose turn it is, on a clock that only the test moves."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest

from serve_app.admission import DECODE, LEAST_PIXELS, UNMEASURED, Admission, Admitted, Capacity, Overloaded

FACES, PEOPLE = "mask_detection", "instance_segmentation"
TASKS = (FACES, PEOPLE)


class Clock:
    """Seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def admission(clock: Clock) -> Admission:
    return Admission(TASKS, Capacity(pixels=100 * LEAST_PIXELS, bytes=1000), clock)


def learn(admission: Admission, clock: Clock, seconds: float, stages: tuple[str, ...] = (DECODE, *TASKS)) -> None:
    """Every one of the stages answers an image alone in so many seconds, often enough to be believed."""
    for stage in stages:
        for _ in range(50):
            with admission.timed(stage):
                clock.now += seconds


def learn_together(admission: Admission, clock: Clock, seconds: float, together: int, stages: tuple[str, ...]) -> None:
    """As many images as ``together`` are always at work; each takes so many seconds, and one ends after the other."""
    for stage in stages:
        at_work = deque[ExitStack]()
        for _ in range(60):
            while len(at_work) < together:
                at_work.append(ExitStack())
                at_work[-1].enter_context(admission.timed(stage))
                clock.now += seconds / together
            at_work.popleft().close()
        while at_work:
            clock.now += seconds / together
            at_work.popleft().close()


def take(admission: Admission, stack: ExitStack, images: int, size: int = 0, within: float = 30.0) -> Admitted:
    return stack.enter_context(admission.request(TASKS, images, size, admission.clock() + within))


def test_a_request_is_taken_if_the_images_ahead_leave_it_time(admission: Admission, clock: Clock) -> None:
    learn(admission, clock, 0.1)
    with ExitStack() as stack:
        take(admission, stack, 60)
        take(admission, stack, 20, within=10.1)  # 80 images in 8 s, of which 0.8 * 10.1 may be filled
        with pytest.raises(Overloaded):
            take(admission, stack, 2, within=10.0)
        take(admission, stack, 2, within=11.0)
        assert admission.images == 82
    assert admission.images == 0


def test_only_the_stages_that_a_request_needs_count(admission: Admission, clock: Clock) -> None:
    learn(admission, clock, 0.01, (DECODE, FACES))
    learn(admission, clock, 1.0, (PEOPLE,))
    with ExitStack() as stack:
        take(admission, stack, 20)
        with pytest.raises(Overloaded):
            take(admission, stack, 10)
        with admission.request((FACES,), 10, 0, clock.now + 30):
            assert admission.images == 30
        admission.check(30)  # before the body is read: someone may want faces alone
        with pytest.raises(Overloaded):
            admission.check(0.1)


def test_nothing_measured_is_held_against_nobody_up_to_a_bound(admission: Admission) -> None:
    with ExitStack() as stack:
        take(admission, stack, UNMEASURED)
        with pytest.raises(Overloaded):
            take(admission, stack, 1)


def test_an_idle_service_takes_whatever_comes(admission: Admission, clock: Clock) -> None:
    learn(admission, clock, 100.0)
    admission.check(0.1)
    with admission.request(TASKS, 64, 5000, clock.now + 1):
        assert (admission.images, admission.bytes) == (64, 5000)
    assert (admission.images, admission.bytes) == (0, 0)


def test_bytes_are_bounded(admission: Admission) -> None:
    with ExitStack() as stack:
        take(admission, stack, 1, size=600)
        take(admission, stack, 1, size=400)
        with pytest.raises(Overloaded):
            take(admission, stack, 1, size=1)


def test_those_refused_are_told_to_come_one_after_the_other(admission: Admission, clock: Clock) -> None:
    learn(admission, clock, 1.0)
    with ExitStack() as stack:
        take(admission, stack, 24)
        told = []
        for _ in range(40):
            with pytest.raises(Overloaded) as refused:
                take(admission, stack, 1)
            told.append(refused.value.retry_after_s)
            assert refused.value.interval_s == pytest.approx(1.0)
    assert told[:4] == [2, 3, 4, 5]
    assert told[-1] == max(told) == 30
    clock.now += 29
    with ExitStack() as stack:
        take(admission, stack, 24)
        with pytest.raises(Overloaded) as refused:
            take(admission, stack, 1)
        assert refused.value.retry_after_s == 2


def test_the_speed_is_that_of_a_stage_that_answers_many_at_once(admission: Admission, clock: Clock) -> None:
    """Eight images in the time of one: eight times as fast, so eight times as many fit."""
    learn_together(admission, clock, 1.0, 8, (DECODE, *TASKS))
    with ExitStack() as stack:
        take(admission, stack, 60)
        with pytest.raises(Overloaded):
            take(admission, stack, 150)


def test_a_slower_stage_is_noticed_within_some_answers(admission: Admission, clock: Clock) -> None:
    learn(admission, clock, 0.1)
    for _ in range(30):
        with admission.timed(FACES):
            clock.now += 1.0
    with ExitStack() as stack:
        take(admission, stack, 10)
        with pytest.raises(Overloaded):
            take(admission, stack, 30)


def test_what_failed_tells_nothing_of_the_speed(admission: Admission, clock: Clock) -> None:
    learn(admission, clock, 1.0)
    for _ in range(100):
        with pytest.raises(RuntimeError), admission.timed(FACES):
            raise RuntimeError
    with ExitStack() as stack:
        take(admission, stack, 24)
        with pytest.raises(Overloaded):
            take(admission, stack, 1)


class Turns:
    """Images of requests that take a turn each and end it when told; ``order`` is that of the turns."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.order: list[str] = []
        self.at_work: list[asyncio.Event] = []
        self.tasks: list[asyncio.Task[None]] = []

    def add(self, name: str, request: Admitted, images: int, pixels: int = 1) -> None:
        self.tasks += [asyncio.create_task(self._image(name, request, pixels)) for _ in range(images)]

    async def _image(self, name: str, request: Admitted, pixels: int) -> None:
        async with self.admission.turn(request, pixels):
            self.order.append(name)
            ended = asyncio.Event()
            self.at_work.append(ended)
            await ended.wait()
        self.admission.answered(request)

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def end_oldest(self) -> None:
        self.at_work.pop(0).set()
        await self.settle()

    async def end_all(self) -> None:
        while self.at_work:
            await self.end_oldest()
        await asyncio.gather(*self.tasks)


@pytest.fixture
async def turns(admission: Admission) -> AsyncIterator[Turns]:
    made = Turns(admission)
    yield made
    await made.end_all()


async def test_many_images_of_one_request_leave_room_for_others(admission: Admission, turns: Turns) -> None:
    with ExitStack() as stack:
        turns.add("many", take(admission, stack, 40), 40)
        await turns.settle()
        assert turns.order == ["many", "many"]
        turns.add("one", take(admission, stack, 1), 1)
        await turns.settle()
        assert turns.order == ["many", "many", "one"]
        await turns.end_all()
        assert turns.order.count("many") == 40


async def test_a_requests_share_grows_with_what_keeps_its_stages_busy(
    admission: Admission, clock: Clock, turns: Turns
) -> None:
    """Three replicas that take a second each: three at work keep them busy, so six of one request may be."""
    learn(admission, clock, 1.0, (DECODE, PEOPLE))
    learn_together(admission, clock, 1.0, 3, (FACES,))
    with ExitStack() as stack:
        turns.add("many", take(admission, stack, 20), 20)
        await turns.settle()
        assert len(turns.order) == 6
        await turns.end_all()


async def test_pixels_are_bounded_and_a_large_image_is_not_passed_over(admission: Admission, turns: Turns) -> None:
    with ExitStack() as stack:
        for name in "abc":
            turns.add(name, take(admission, stack, 1), 1, pixels=40 * LEAST_PIXELS)
        await turns.settle()
        assert turns.order == ["a", "b"]
        assert admission.pixels == 80 * LEAST_PIXELS
        turns.add("small", take(admission, stack, 1), 1)
        await turns.settle()
        assert turns.order == ["a", "b"]
        await turns.end_oldest()
        assert turns.order == ["a", "b", "c", "small"]
        turns.add("huge", take(admission, stack, 1), 1, pixels=1000 * LEAST_PIXELS)
        await turns.end_all()
        assert turns.order[-1] == "huge"
    assert admission.pixels == 0


async def test_by_turns_the_longest_without_one_and_the_most_urgent(clock: Clock) -> None:
    admission = Admission(TASKS, Capacity(pixels=LEAST_PIXELS), clock)
    turns = Turns(admission)
    with ExitStack() as stack:
        turns.add("urgent", take(admission, stack, 4, within=5), 4)
        for name in "abcd":
            turns.add(name, take(admission, stack, 1, within=50), 1)
        await turns.settle()
        await turns.end_all()
    assert turns.order == ["urgent", "urgent", "a", "urgent", "b", "urgent", "c", "d"]


async def test_a_turn_that_does_not_come_ends_with_the_deadline(admission: Admission, turns: Turns) -> None:
    with ExitStack() as stack:
        turns.add("a", take(admission, stack, 1), 1, pixels=100 * LEAST_PIXELS)
        await turns.settle()
        late = take(admission, stack, 1, within=0.001)
        with pytest.raises(TimeoutError):
            async with admission.turn(late, 1):
                pytest.fail("there was no room")
        assert not late.waiting
        await turns.end_all()


async def test_whoever_leaves_gives_room_and_place_back(admission: Admission, turns: Turns) -> None:
    with ExitStack() as stack:
        turns.add("a", take(admission, stack, 1), 1, pixels=100 * LEAST_PIXELS)
        turns.add("leaves", take(admission, stack, 1), 1)
        turns.add("c", take(admission, stack, 1), 1)
        await turns.settle()
        turns.tasks[1].cancel()
        turns.at_work[0].set()  # in the same turn of the loop: the one that leaves is given room that it does not take
        turns.at_work.clear()
        await turns.settle()
        assert turns.order == ["a", "c"]
        turns.tasks.pop(1)
        await turns.end_all()
    assert admission.pixels == 0
