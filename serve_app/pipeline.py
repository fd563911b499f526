"""The way of a photo: decode, fan out to the branches, combine. Knows no wire format."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from deployments.calls import Answer, Call, InstanceSegmentationOptions, MaskDetectionOptions, ObjectDetectionOptions
from deployments.imaging.decode import ImageError, decode
from deployments.imaging.resize import prepare
from deployments.models.card import ModelCard, Task
from deployments.results import Detection, Face, Instance, Results
from serve_app.people import Person, tie

P = ParamSpec("P")
T = TypeVar("T")

FOUND: dict[Task, str] = {
    "mask_detection": "faces",
    "instance_segmentation": "instances",
    "object_detection": "objects",
}
"""The field of an ImageAnalysis that holds a task's results."""


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """A picture file as it came, with the client's name for it if any."""

    data: bytes
    name: str | None = None


@dataclass(frozen=True, slots=True)
class AnalyzeOptions:
    """What a request may set; None leaves the model's or the service's default."""

    tasks: tuple[Task, ...] | None = None
    """None for every one that the service has a branch for."""
    mask_detection: MaskDetectionOptions = field(default_factory=MaskDetectionOptions)
    instance_segmentation: InstanceSegmentationOptions = field(default_factory=InstanceSegmentationOptions)
    object_detection: ObjectDetectionOptions = field(default_factory=ObjectDetectionOptions)
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class AnalyzeRequest:
    """What every dialect parses its wire format into."""

    images: Sequence[EncodedImage | NDArray[np.uint8]]
    """Picture files, or upright uint8 RGB arrays [H, W, 3] where the protocol carries pixels."""
    request_id: str
    options: AnalyzeOptions = field(default_factory=AnalyzeOptions)
    traceparent: str | None = None
    keep_pixels: bool = False
    """Whether the answer holds the decoded pictures, for drawing."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with an image (task is None) or with one branch of it."""

    code: str
    """unreadable_image, unsupported_format, image_too_large, overloaded, unavailable, deadline_exceeded or internal."""
    message: str
    task: Task | None = None


@dataclass(slots=True)
class ImageAnalysis:
    """Everything found in one image; width and height are 0 where it could not be read."""

    name: str | None
    width: int = 0
    height: int = 0
    faces: Sequence[Face] = ()
    instances: Sequence[Instance] = ()
    people: Sequence[Person] = ()
    objects: Sequence[Detection] = ()
    errors: list[Failure] = field(default_factory=list)
    timing_ms: dict[str, float | dict[str, float]] = field(default_factory=dict)
    pixels: NDArray[np.uint8] | None = None

    def found(self, task: Task) -> Results:
        """A task's results."""
        results: Results = getattr(self, FOUND[task])
        return results


@dataclass(frozen=True, slots=True)
class Analysis:
    """The answer to a request, one entry an image, in order."""

    images: list[ImageAnalysis]
    models: dict[Task, str]
    total_ms: float


class BranchFailed(Exception):
    """A branch gave no answer; ``failure`` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Branch(Protocol):
    """A model behind whatever transport."""

    card: ModelCard

    async def __call__(self, image: NDArray[np.uint8], call: Call) -> Answer:
        """Answer for one prepared image. Raises BranchFailed, within the call's deadline."""

    async def ready(self) -> bool:
        """Whether a replica answers."""


class Pipeline:
    """Decodes in a thread pool, fans out, combines; shared by every dialect of a process."""

    def __init__(
        self,
        branches: Mapping[Task, Branch],
        *,
        max_pixels: int,
        timeout_s: float,
        decode_threads: int,
        images_in_flight: int,
    ) -> None:
        self.branches = branches
        self.max_pixels = max_pixels
        self.timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(decode_threads, thread_name_prefix="decode")
        self._in_flight = asyncio.Semaphore(images_in_flight)

    async def analyze(self, request: AnalyzeRequest) -> Analysis:
        """Analyse every image of a request; what fails is an entry in its image's ``errors``, never an exception."""
        started = time.monotonic()
        timeout = min(request.options.timeout_s or self.timeout_s, self.timeout_s)
        deadline = time.time() + timeout
        images = await asyncio.gather(*(self._one(image, request, deadline) for image in request.images))
        return Analysis(list(images), self.models(request.options), milliseconds_since(started))

    def models(self, options: AnalyzeOptions) -> dict[Task, str]:
        """The tasks that a request asks for, each with its model's name and version."""
        tasks = self.branches if options.tasks is None else options.tasks
        return {task: self.branches[task].card.identity for task in tasks}

    @property
    def labels(self) -> dict[Task, tuple[str, ...]]:
        """The labels of each task's model."""
        return {task: branch.card.labels for task, branch in self.branches.items()}

    async def on_thread(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Run CPU work (decoding, drawing, encoding) in the decode pool."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *arguments, **named))

    async def ready(self) -> dict[Task, bool]:
        """Whether each branch answers."""
        answers = await asyncio.gather(*(branch.ready() for branch in self.branches.values()))
        return dict(zip(self.branches, answers, strict=True))

    async def _one(
        self, source: EncodedImage | NDArray[np.uint8], request: AnalyzeRequest, deadline: float
    ) -> ImageAnalysis:
        analysis = ImageAnalysis(name=source.name if isinstance(source, EncodedImage) else None)
        try:
            async with asyncio.timeout(deadline - time.time()):
                await self._in_flight.acquire()
        except TimeoutError:
            analysis.errors.append(Failure("deadline_exceeded", "the deadline passed before the image was decoded"))
            return analysis
        try:
            await self._fill(analysis, source, request, deadline)
        finally:
            self._in_flight.release()
        return analysis

    async def _fill(
        self,
        analysis: ImageAnalysis,
        source: EncodedImage | NDArray[np.uint8],
        request: AnalyzeRequest,
        deadline: float,
    ) -> None:
        started = time.monotonic()
        try:
            pixels = await self._pixels(source)
        except ImageError as error:
            analysis.errors.append(Failure(error.code, str(error)))
            return
        analysis.height, analysis.width = pixels.shape[:2]
        if request.keep_pixels:
            analysis.pixels = pixels
        analysis.timing_ms["decode"] = milliseconds_since(started)
        await asyncio.gather(
            *(self._branch(task, pixels, analysis, request, deadline) for task in self.models(request.options))
        )
        analysis.people = await self.on_thread(tie, analysis.faces, analysis.instances)
        analysis.timing_ms["total"] = milliseconds_since(started)

    async def _pixels(self, source: EncodedImage | NDArray[np.uint8]) -> NDArray[np.uint8]:
        if isinstance(source, EncodedImage):
            return await self.on_thread(decode, source.data, self.max_pixels)
        return source

    async def _branch(
        self, task: Task, pixels: NDArray[np.uint8], analysis: ImageAnalysis, request: AnalyzeRequest, deadline: float
    ) -> None:
        branch = self.branches[task]
        height, width = pixels.shape[:2]
        call = Call(
            height=height,
            width=width,
            options=getattr(request.options, task),
            deadline=deadline,
            request_id=request.request_id,
            traceparent=request.traceparent,
        )
        try:
            async with asyncio.timeout(deadline - time.time()):
                answer = await branch(await self.on_thread(prepare, pixels, branch.card.image), call)
        except BranchFailed as error:
            analysis.errors.append(error.failure)
            return
        except TimeoutError:
            message = f"{task} gave no answer before the deadline"
            analysis.errors.append(Failure("deadline_exceeded", message, task))
            return
        analysis.timing_ms[task] = {"queue": answer.queue_ms, "run": answer.run_ms}
        setattr(analysis, FOUND[task], answer.results)


def milliseconds_since(start: float) -> float:
    """Since a ``time.monotonic()``, to a hundredth of a millisecond."""
    return round((time.monotonic() - start) * 1000, 2)
