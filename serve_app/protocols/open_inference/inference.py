"""The Open Inference Protocol V2 without its transports: models, their metadata, inference, statistics.

https://github.com/kserve/open-inference-protocol; the repository index, statistics and configuration are those of
Triton's extensions, https://github.com/triton-inference-server/server/tree/main/docs/protocol.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from deployments.models.card import ModelCard, Task
from serve_app.analysis import AnalyzeOptions, AnalyzeRequest, Failure, ImageAnalysis
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.detections import AnswerTooLarge
from serve_app.protocols.open_inference.tensors import (
    DENSE_MASKS,
    Image,
    Tensor,
    check_images,
    output_specs,
    output_tensors,
)
from serve_app.protocols.served_models import ServedModel, served_models

SERVER_NAME = "maskgraph"
SERVER_VERSION = "1"
EXTENSIONS = ("binary_tensor_data", "parameters", "model_repository", "model_configuration", "statistics")
PLATFORM = "ray_serve"
INPUT = "images"
HINTS = ("priority", "sequence_id", "sequence_start", "sequence_end", "headers", "content_type")
"""Of requests, for Triton's schedulers and MLServer's codecs: taken, and of no effect, like ``triton_...``."""
NOT_OFFERED = ("shared_memory_region", "shared_memory_offset", "shared_memory_byte_size", "classification")
"""Parameters of tensors, by Triton's extensions, without which the answer would not be the one that was asked for."""
PRECEDENCE = (
    "unreadable_image",
    "unsupported_format",
    "image_too_large",
    "deadline_exceeded",
    "overloaded",
    "unavailable",
    "internal",
)
"""Of several failures the one whose code comes last here stands for all."""

Parameter = bool | int | float | str


class InferenceError(Exception):
    """A request that gets no answer: a code and what the client is told.

    The code is one of ``Failure``, or ``bad_request``, ``not_found`` or ``answer_too_large``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class InferRequest:
    """An inference request as either transport carries it, its images read."""

    model: str
    images: Sequence[Image]
    outputs: Sequence[str]
    """Names of the outputs to send; none for all but the dense masks."""
    parameters: Mapping[str, Parameter]
    request_id: str
    traceparent: str | None = None
    arrived: float = field(default_factory=time.time)
    """Wall clock, seconds since the epoch."""
    version: str = ""
    """The one to answer; empty for whichever there is."""


@dataclass(slots=True)
class Duration:
    """How often something happened, and how long it took in all, in nanoseconds."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int) -> None:
        self.count += 1
        self.ns += ns


@dataclass(slots=True)
class Statistics:
    """What one model was asked through one object of this module since it was made."""

    last_inference: int = 0
    """Wall clock in milliseconds since the epoch; 0 for never."""
    inference_count: int = 0
    """Images."""
    execution_count: int = 0
    """Requests: in which batches the replicas ran them is not known here."""
    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    """This and the next two are a request's slowest image's."""
    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)


class OpenInference:
    """The models of a pipeline in the protocol's terms.

    Statistics are this object's own: what one ingress replica was asked over one transport since it started.
    """

    def __init__(self, pipeline: Pipeline, limits: Limits) -> None:
        self.pipeline = pipeline
        self.limits = limits
        self.models = served_models(pipeline.branches)
        self._statistics = {model: Statistics() for model in self.models}

    def version(self, model: str, version: str = "") -> str:
        """The version in service. Raises InferenceError ``not_found`` for an unknown model, or another version."""
        if model not in self.models:
            raise InferenceError("not_found", f"unknown model {model[:100]!r}; models: {', '.join(self.models)}")
        return checked_version(self.models[model], self.pipeline.cards, version)

    def ready(self, model: str = "analyze") -> bool:
        """Whether a replica answers, for each of a model's tasks."""
        return all(self.pipeline.branches[task].ready() for task in self.models[model].tasks)

    def states(self) -> dict[str, str]:
        """READY or UNAVAILABLE, of each model."""
        ready = self.pipeline.ready()
        return {
            name: "READY" if all(ready[task] for task in model.tasks) else "UNAVAILABLE"
            for name, model in self.models.items()
        }

    def properties(self, model: str) -> dict[str, str]:
        """What metadata tells beyond the tensors: each task's model and labels, parameters, the kinds of input."""
        properties = {INPUT: "BYTES [N]: picture files; or UINT8 [N, H, W, 3]: upright RGB pixels"}
        for task in self.models[model].tasks:
            card = self.pipeline.branches[task].card
            properties[f"{task}.model"] = card.identity
            properties[f"{task}.labels"] = ",".join(card.labels)
        properties["parameters"] = ",".join(known_parameters(self.models[model]))
        return properties

    def statistics(self, model: str = "", version: str = "") -> dict[str, Statistics]:
        """Of one model, or of all. Raises InferenceError ``not_found``."""
        if not model:
            return dict(self._statistics)
        self.version(model, version)
        return {model: self._statistics[model]}

    def check_input(self, model: str, name: str, datatype: str, shape: Sequence[int]) -> None:
        """Raise InferenceError unless this is the model's input, of a datatype and shape within the limits."""
        if name != INPUT:
            raise InferenceError(
                "bad_request", f"unexpected input {name[:100]!r} for model {model}; its input is {INPUT}"
            )
        try:
            check_images(datatype, shape, self.limits)
        except ValueError as error:
            raise bad_input(error) from None

    async def infer(self, request: InferRequest) -> tuple[str, list[Tensor]]:
        """Analyse the images; the version that ran, and the outputs.

        An image that fails is told of in the output ``errors``. Where that output is not sent, or every image failed,
        the request fails: raises InferenceError, also for unknown outputs and for parameters that are wrong.
        """
        started = time.perf_counter_ns()
        statistics = self._statistics[request.model]
        try:
            version, tensors = await self._infer(request, statistics)
        except InferenceError:
            statistics.fail.add(time.perf_counter_ns() - started)
            raise
        statistics.success.add(time.perf_counter_ns() - started)
        statistics.execution_count += 1
        statistics.inference_count += len(request.images)
        statistics.last_inference = time.time_ns() // 1_000_000
        return version, tensors

    async def _infer(self, request: InferRequest, statistics: Statistics) -> tuple[str, list[Tensor]]:
        model = self.models[request.model]
        wanted = wanted_outputs(model, request.outputs)
        options = options_of(model, request.parameters, self.pipeline.labels)
        analyze = AnalyzeRequest(
            request.images, request.request_id, options, request.traceparent, arrived=request.arrived
        )
        analysis = await self.pipeline.analyze(analyze)
        version = checked_version(model, analysis.cards, request.version)
        images = analysis.images
        refuse_failures(model, images, partial="errors" in wanted)
        _count_times(statistics, model, images)
        writing = time.perf_counter_ns()
        try:
            tensors = await self.pipeline.on_thread(output_tensors, model, images, wanted)
        except AnswerTooLarge as error:
            raise InferenceError("answer_too_large", str(error)) from None
        statistics.compute_output.add(time.perf_counter_ns() - writing)
        return version, tensors


def checked_version(model: ServedModel, cards: Mapping[Task, ModelCard], version: str) -> str:
    """A model's by its cards. Raises InferenceError ``not_found`` where another one is asked for."""
    present = str(model.version(cards))
    if version not in ("", present):
        raise InferenceError(
            "not_found", f"model {model.name} has no version {version[:40]!r}; its version is {present}"
        )
    return present


def bad_input(error: ValueError) -> InferenceError:
    """What is wrong with the input, as the error of the request."""
    return InferenceError("bad_request", f"input {INPUT}: {error}")


def known_parameters(model: ServedModel) -> list[str]:
    """The parameters that a model acts on; ``timeout`` is in microseconds."""
    return [*model.options(), "timeout"]


def check_tensor_parameters(names: Iterable[str], where: str) -> None:
    """Raise InferenceError for a parameter of a tensor that cannot be passed over; others are optional."""
    for name in names:
        if name in NOT_OFFERED:
            raise InferenceError("bad_request", f"parameter {name!r} of {where} is not supported")


def wanted_outputs(model: ServedModel, names: Sequence[str]) -> list[str]:
    """The outputs to send. Raises InferenceError for unknown ones and for repeated ones."""
    known = list(output_specs(model))
    for name in names:
        if name not in known:
            message = f"unexpected output {name[:100]!r} for model {model.name}; its outputs are {', '.join(known)}"
            raise InferenceError("bad_request", message)
    if len(set(names)) < len(names):
        raise InferenceError("bad_request", "an output is asked for more than once")
    return list(names) or [name for name in known if not name.endswith(DENSE_MASKS)]


def options_of(
    model: ServedModel, parameters: Mapping[str, Parameter], labels: Mapping[Task, Sequence[str]]
) -> AnalyzeOptions:
    """Options from a request's parameters; ``labels`` of a task are those that its ``classes`` may name, with commas.

    Raises InferenceError naming the parameter that is unknown or wrong.
    """
    given: dict[str, Parameter | list[str]] = {
        name: value for name, value in parameters.items() if name not in HINTS and not name.startswith("triton_")
    }
    known = known_parameters(model)
    for name in given:
        if name not in known:
            message = f"model {model.name} has no parameter {name[:100]!r}; its parameters are {', '.join(known)}"
            raise InferenceError("bad_request", message)
    timeout_us = given.pop("timeout", 0)
    if type(timeout_us) is not int or timeout_us < 0:
        raise InferenceError("bad_request", "parameter timeout must be a whole number of microseconds")
    for name, spec in model.options().items():
        if spec.dtype == "DT_STRING" and name in given:
            classes = given[name]
            if not isinstance(classes, str):
                raise InferenceError("bad_request", f"parameter {name} must be a string of labels, separated by commas")
            given[name] = [label.strip() for label in classes.split(",")]
    try:
        options = model.analyze_options(given, labels)
    except ValueError as error:
        raise InferenceError("bad_request", f"parameter {error}") from None
    # Nought is Triton's default, which is no timeout; the pipeline has its own above all that are asked for.
    return replace(options, timeout_s=min(timeout_us, 2**53) / 1e6 if timeout_us else None)


def refuse_failures(model: ServedModel, images: Sequence[ImageAnalysis], partial: bool) -> None:
    """Raise InferenceError for the worst failure if nothing succeeded; unless ``partial``, if anything failed."""
    if partial and any(_succeeded(model, image) for image in images):
        return
    failures = [(failure, number) for number, image in enumerate(images, 1) for failure in image.errors]
    if failures:
        worst, number = max(failures, key=_gravity)
        raise InferenceError(worst.code, f"image {number}: {worst.message}" if len(images) > 1 else worst.message)


def _gravity(failure: tuple[Failure, int]) -> int:
    return PRECEDENCE.index(failure[0].code)


def _succeeded(model: ServedModel, image: ImageAnalysis) -> bool:
    failed = {failure.task for failure in image.errors}
    return None not in failed and not failed >= set(model.tasks)


def _count_times(statistics: Statistics, model: ServedModel, images: Sequence[ImageAnalysis]) -> None:
    times = [image.timing_ms[task] for image in images for task in model.tasks if task in image.timing_ms]
    decode = [image.timing_ms.get("decode", 0.0) for image in images]
    statistics.compute_input.add(_nanoseconds(max(value for value in decode if isinstance(value, float))))
    statistics.queue.add(_nanoseconds(max(one["queue"] for one in times if isinstance(one, dict))))
    statistics.compute_infer.add(_nanoseconds(max(one["run"] for one in times if isinstance(one, dict))))


def _nanoseconds(milliseconds: float) -> int:
    return round(milliseconds * 1e6)
