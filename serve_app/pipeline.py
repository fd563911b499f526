"""The way of a photo: decode, fan out to the branches, combine. Knows no wire format."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from deployments.calls import Answer, Call
from deployments.imaging.decode import ImageError, decode, read_header
from deployments.imaging.resize import prepare
from deployments.models.card import ModelCard, Task
from serve_app.admission import DECODE, Admission, Admitted, Capacity
from serve_app.analysis import FOUND, Analysis, AnalyzeOptions, AnalyzeRequest, EncodedImage, Failure, ImageAnalysis
from serve_app.people import tie
from serve_app.seen import Seen, seen

P = ParamSpec("P")
T = TypeVar("T")


class BranchFailed(Exception):
    """A branch gave no answer; ``failure`` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class ModelReplaced(Exception):
    """The branch's replicas run another version now: its ``card`` is that one's, for which to prepare the image."""


class Branch(Protocol):
    """A model behind whatever transport."""

    card: ModelCard

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Defaults that the operator has set, which go before the card's."""

    async def __call__(self, image: NDArray[np.uint8], call: Call) -> Answer:
        """Answer for one prepared image, within the call's deadline. Raises BranchFailed, ModelReplaced."""

    def ready(self) -> bool:
        """Whether a replica answers, as far as is known now."""


@dataclass(frozen=True, slots=True)
class _Underway:
    """A request that was admitted."""

    request: AnalyzeRequest
    admitted: Admitted
    deadline: float
    """Wall clock, seconds since the epoch."""
    cards: dict[Task, ModelCard]
    """Of the models that have answered for one of its images: all others must have the same."""
    seen: Seen


class Pipeline:
    """Decodes in a thread pool, fans out, combines; shared by every dialect of a process."""

    def __init__(
        self,
        branches: Mapping[Task, Branch],
        *,
        max_pixels: int,
        timeout_s: float,
        decode_threads: int,
        capacity: Capacity,
    ) -> None:
        self.branches = branches
        self.max_pixels = max_pixels
        self.timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(decode_threads, thread_name_prefix="decode")
        self.admission = Admission(branches, capacity)

    def check_room(self, arrived: float) -> None:
        """Raise Overloaded if no request that arrived then could be answered in time, whatever it asks for."""
        self.admission.check(arrived + self.timeout_s - time.time())

    async def analyze(self, request: AnalyzeRequest) -> Analysis:
        """Analyse every image of a request; what fails is an entry in its image's ``errors``.

        Raises Overloaded, before anything is decoded, if the answer could not come in time.
        """
        started = time.monotonic()
        deadline = request.arrived + min(request.options.timeout_s or self.timeout_s, self.timeout_s)
        size = sum(len(image.data) if isinstance(image, EncodedImage) else image.nbytes for image in request.images)
        on_clock = self.admission.clock() + deadline - time.time()
        tasks = self.tasks(request.options)
        watched = seen()
        watched.images = len(request.images)
        with self.admission.request(tasks, len(request.images), size, on_clock) as admitted:
            underway = _Underway(request, admitted, deadline, {}, watched)
            images = await gather_or_cancel(self._one(image, underway) for image in request.images)
        watched.failures += [(failure.code, failure.task) for image in images for failure in image.errors]
        watched.analysed = time.monotonic()
        cards = {task: underway.cards.get(task, self.branches[task].card) for task in tasks}
        return Analysis(images, cards, milliseconds_since(started))

    def tasks(self, options: AnalyzeOptions) -> tuple[Task, ...]:
        """Those that a request asks for."""
        return tuple(self.branches) if options.tasks is None else options.tasks

    @property
    def cards(self) -> dict[Task, ModelCard]:
        """The card of each task's model, as far as is known now."""
        return {task: branch.card for task, branch in self.branches.items()}

    @property
    def labels(self) -> dict[Task, tuple[str, ...]]:
        """The labels of each task's model."""
        return {task: card.labels for task, card in self.cards.items()}

    async def on_thread(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Run CPU work (decoding, drawing, encoding) in the decode pool."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *arguments, **named))

    def ready(self) -> dict[Task, bool]:
        """Whether each branch answers."""
        return {task: branch.ready() for task, branch in self.branches.items()}

    async def _one(self, source: EncodedImage | NDArray[np.uint8], underway: _Underway) -> ImageAnalysis:
        analysis = ImageAnalysis(name=source.name if isinstance(source, EncodedImage) else None)
        arrived = time.monotonic()
        try:
            async with self.admission.turn(underway.admitted, await self._pixel_count(source)):
                underway.seen.passed("turn", time.monotonic() - arrived)
                await self._fill(analysis, source, underway)
                if underway.request.then is not None:
                    await underway.request.then(analysis)
        except ImageError as error:
            analysis.errors.append(Failure(error.code, str(error)))
        except TimeoutError:
            analysis.errors.append(Failure("deadline_exceeded", "the deadline passed before the image was decoded"))
        finally:
            self.admission.answered(underway.admitted)
        return analysis

    async def _fill(
        self, analysis: ImageAnalysis, source: EncodedImage | NDArray[np.uint8], underway: _Underway
    ) -> None:
        started = time.monotonic()
        with self.admission.timed(DECODE), underway.seen.stage("decode"):
            pixels = await self._pixels(source)
        analysis.height, analysis.width = pixels.shape[:2]
        if underway.request.keep_pixels:
            analysis.pixels = pixels
        analysis.timing_ms["decode"] = milliseconds_since(started)
        tasks = self.tasks(underway.request.options)
        await asyncio.gather(*(self._branch(task, pixels, analysis, underway) for task in tasks))
        with underway.seen.stage("combine"):
            analysis.people = await self.on_thread(tie, analysis.faces, analysis.instances)
        analysis.timing_ms["total"] = milliseconds_since(started)

    async def _pixel_count(self, source: EncodedImage | NDArray[np.uint8]) -> int:
        """Raises ImageError for what is no picture. One over the limit needs no room: it will not be decoded."""
        if not isinstance(source, EncodedImage):
            return int(source.shape[0] * source.shape[1])
        header = await self.on_thread(read_header, source.data)
        count = header.width * header.height
        return count if count <= self.max_pixels else 0

    async def _pixels(self, source: EncodedImage | NDArray[np.uint8]) -> NDArray[np.uint8]:
        if isinstance(source, EncodedImage):
            return await self.on_thread(decode, source.data, self.max_pixels)
        return source

    async def _branch(
        self, task: Task, pixels: NDArray[np.uint8], analysis: ImageAnalysis, underway: _Underway
    ) -> None:
        try:
            async with asyncio.timeout(underway.deadline - time.time()):
                answer, card = await self._answer(task, pixels, underway)
        except BranchFailed as error:
            analysis.errors.append(error.failure)
            return
        except TimeoutError:
            message = f"{task} gave no answer before the deadline"
            analysis.errors.append(Failure("deadline_exceeded", message, task))
            return
        if underway.cards.setdefault(task, card) != card:
            message = f"{task} was replaced by another version while the request was under way"
            analysis.errors.append(Failure("unavailable", message, task))
            return
        analysis.timing_ms[task] = {"queue": answer.queue_ms, "run": answer.run_ms}
        setattr(analysis, FOUND[task], answer.results)

    async def _answer(self, task: Task, pixels: NDArray[np.uint8], underway: _Underway) -> tuple[Answer, ModelCard]:
        """The branch's, and the card of the model that gave it."""
        branch = self.branches[task]
        while True:
            card = branch.card
            with underway.seen.stage("resize", task):
                prepared = await self.on_thread(prepare, pixels, card.image)
            try:
                with self.admission.timed(task), underway.seen.stage("answer", task) as traceparent:
                    answer = await branch(prepared, self._call(task, pixels, card, underway, traceparent))
            except ModelReplaced:
                continue
            underway.seen.batches.append(answer.batch)
            return answer, card

    def _call(
        self, task: Task, pixels: NDArray[np.uint8], card: ModelCard, underway: _Underway, traceparent: str | None
    ) -> Call:
        request = underway.request
        return Call(
            height=pixels.shape[0],
            width=pixels.shape[1],
            options=getattr(request.options, task),
            deadline=underway.deadline,
            request_id=request.request_id,
            traceparent=traceparent or request.traceparent,
            card=card.digest,
        )


async def gather_or_cancel(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All results in order; the first exception, or a cancellation, ends the others before it is raised."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def milliseconds_since(start: float) -> float:
    """Since a ``time.monotonic()``, to a hundredth of a millisecond."""
    return round((time.monotonic() - start) * 1000, 2)
