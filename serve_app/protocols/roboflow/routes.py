"""Roboflow's inference API: the self-hosted routes (V1) and the hosted form (V0), as inference-sdk calls them."""

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from deployments.calls import InstanceSegmentationOptions, MaskDetectionOptions, ObjectDetectionOptions
from deployments.models.card import Task
from serve_app.analysis import AnalyzeOptions, ImageAnalysis
from serve_app.http.bounded_json import parse_json
from serve_app.http.dialect import analyze, decode_base64, drawn_jpeg, validate
from serve_app.http.errors import RequestError, refusals_as
from serve_app.http.limits import check_image_count, read_body
from serve_app.http.multipart import read_form
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.roboflow import openapi
from serve_app.protocols.roboflow.answer import MaskFormat, answer_json
from serve_app.protocols.roboflow.refusal import refusal

TASK_TYPES: dict[Task, str] = {
    "mask_detection": "object-detection",
    "instance_segmentation": "instance-segmentation",
    "object_detection": "object-detection",
}
"""What Roboflow calls each task; its route is the same with an underscore."""

Probability = Annotated[float, Field(ge=0, le=1)]
Percentage = Annotated[float, Field(ge=0, le=100)]
ModelsChoice = Literal["best", "default"]
"""Threshold names that leave it to the model."""


class Wanted(BaseModel):
    """What a request may choose; None leaves the model's default. Fields that are not named here change nothing."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)

    confidence: Probability | ModelsChoice | None = None
    iou_threshold: Probability | None = None
    """For object detection; the other models' own suppression is part of them."""
    class_filter: list[str] | None = None
    """Labels to keep; an empty list keeps all."""
    max_detections: int | None = Field(None, ge=1)
    response_mask_format: MaskFormat | None = None
    visualize_predictions: bool | None = None

    @property
    def threshold(self) -> float | None:
        """Least score."""
        return None if isinstance(self.confidence, str) else self.confidence


class SelfHosted(Wanted):
    """Body of a V1 request."""

    model_id: str
    image: Any
    """An object ``{"type": "base64", "value"}`` or a list of them."""


class Hosted(BaseModel):
    """Query of a V0 request, where thresholds of 1 and more are percentages."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    confidence: Percentage | ModelsChoice | None = None
    overlap: Percentage | None = None
    classes: str | None = None
    """Labels to keep, separated by commas."""
    max_detections: int | None = Field(None, ge=1)
    response_mask_format: MaskFormat | None = None
    format: Literal["json", "image", "image_and_json"] = "json"
    image: str | None = None

    def wanted(self) -> Wanted:
        """The same choice, in V1's terms."""
        confidence = self.confidence
        return Wanted(
            confidence=_fraction(confidence) if isinstance(confidence, float) else confidence,
            iou_threshold=None if self.overlap is None else _fraction(self.overlap),
            class_filter=[label.strip() for label in self.classes.split(",")] if self.classes else None,
            max_detections=self.max_detections,
            response_mask_format=self.response_mask_format,
            visualize_predictions=self.format != "json",
        )


def _fraction(value: float) -> float:
    return value / 100 if value >= 1 else value


def routes(pipeline: Pipeline, limits: Limits) -> APIRouter:
    """The routes of both forms; errors are ``{"message"}`` with the status of their kind.

    The hosted form's ``/{project}/{version}`` is served for the names of our tasks only, so it hides no other route.
    """
    router = APIRouter()
    service = Service(pipeline, limits)

    of_models = openapi.registry(service.tasks)
    ids = {task: model_id for model_id, task in service.tasks.items()}

    @router.get("/model/registry", summary="Roboflow: models", responses=of_models)
    async def registry() -> Response:
        return _json(service.registry())

    @router.post(
        "/model/add",
        summary="Roboflow: load a model",
        openapi_extra=openapi.model_id_body(next(iter(service.tasks))),
        responses={**openapi.INFERRED, **of_models},
    )
    @refusals_as(refusal)
    async def add(request: Request) -> Response:
        service.task_of((await service.read_object(request)).get("model_id"))
        return _json(service.registry())

    def mount_self_hosted(kind: str) -> None:
        example = next(ids[task] for task in pipeline.branches if TASK_TYPES[task] == kind)

        @router.post(
            f"/infer/{kind.replace('-', '_')}",
            summary=f"Roboflow: {kind}",
            openapi_extra=openapi.infer_body(example),
            responses=openapi.INFERRED,
        )
        @refusals_as(refusal)
        async def infer(request: Request) -> Response:
            return await service.infer(kind, request)

    def mount_hosted(task: Task) -> None:
        @router.post(
            f"/{task}/{{version}}",
            summary=f"Roboflow, hosted form: {TASK_TYPES[task]}",
            openapi_extra=openapi.hosted(pipeline.branches[task].card.version),
            responses=openapi.hosted_answers(),
        )
        @refusals_as(refusal)
        async def infer_hosted(request: Request) -> Response:
            return await service.infer_hosted(task, request.path_params["version"], request)

    for kind in dict.fromkeys(TASK_TYPES[task] for task in pipeline.branches):
        mount_self_hosted(kind)
    for task in pipeline.branches:
        mount_hosted(task)
    return router


class Service:
    """What both forms do with a request."""

    def __init__(self, pipeline: Pipeline, limits: Limits) -> None:
        self.pipeline = pipeline
        self.limits = limits
        self.tasks: dict[str, Task] = {
            f"{task}/{branch.card.version}": task for task, branch in pipeline.branches.items()
        }
        """By model id: the task's name and its model's version."""

    def registry(self) -> dict[str, Any]:
        """Every model; they are all loaded."""
        return {"models": [{"model_id": name, "task_type": TASK_TYPES[task]} for name, task in self.tasks.items()]}

    def task_of(self, model_id: object) -> Task:
        """The task of a model id. Raises RequestError 400, 404."""
        if not isinstance(model_id, str):
            raise RequestError(400, "bad_request", "field 'model_id' must be a string")
        if model_id not in self.tasks:
            known = ", ".join(self.tasks)
            raise RequestError(404, "not_found", f"there is no model {model_id[:80]!r}; models: {known}")
        return self.tasks[model_id]

    async def read_object(self, request: Request) -> dict[str, Any]:
        """The body as a JSON object. Raises RequestError."""
        content = await self.pipeline.on_thread(parse_json, await read_body(request, self.limits))
        if not isinstance(content, dict):
            raise RequestError(400, "bad_request", "the body must be a JSON object")
        return content

    async def infer(self, kind: str, request: Request) -> Response:
        """Answer a V1 request to the route of a task type; a list of pictures gets a list. Raises RequestError."""
        self.pipeline.check_room(request.state.arrived)
        content = await self.read_object(request)
        wanted = validate(SelfHosted, content, "field")
        task = self.task_of(wanted.model_id)
        if TASK_TYPES[task] != kind:
            raise RequestError(400, "bad_request", f"model {wanted.model_id!r} is for {TASK_TYPES[task]}, not {kind}")
        is_list = isinstance(wanted.image, list)
        pictures = wanted.image if is_list else [wanted.image]
        check_image_count(len(pictures), self.limits)
        if not pictures:
            raise RequestError(400, "no_image", "field 'image' is an empty list")
        answers, _ = await self.answers(task, await self.pipeline.on_thread(_decode_all, pictures), wanted, request)
        return _json(answers if is_list else answers[0])

    async def infer_hosted(self, task: Task, version: str, request: Request) -> Response:
        """Answer a V0 request. Raises RequestError."""
        self.task_of(f"{task}/{version}")
        self.pipeline.check_room(request.state.arrived)
        hosted = validate(Hosted, dict(request.query_params), "query parameter")
        if hosted.image is not None:
            raise _no_url(None)
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type == "multipart/form-data":
            files = [part for part in await read_form(request, self.limits, ("file",)) if part.name == "file"]
            if len(files) != 1:
                raise RequestError(400, "no_image", "the form must have one file, in a field named 'file'")
            picture = bytes(files[0].data)
        else:
            # Base64 as it is, whatever the Content-Type: inference-sdk calls it JSON, curl a form.
            picture = await self.pipeline.on_thread(decode_base64, await read_body(request, self.limits), 1)
        answers, drawn = await self.answers(task, [picture], hosted.wanted(), request)
        if hosted.format == "image":
            return Response(drawn[0], media_type="image/jpeg")
        return _json(answers[0])

    async def answers(
        self, task: Task, files: Sequence[bytes], wanted: Wanted, request: Request
    ) -> tuple[list[dict[str, Any]], list[bytes]]:
        """An answer for each picture file, and the pictures drawn where they are wanted. Raises RequestError."""
        labels = tuple(wanted.class_filter or ()) or None
        options = AnalyzeOptions(
            (task,),
            MaskDetectionOptions(wanted.threshold),
            InstanceSegmentationOptions(wanted.threshold, labels, wanted.max_detections),
            ObjectDetectionOptions(wanted.threshold, wanted.iou_threshold, labels, wanted.max_detections),
        )
        analysis = await analyze(self.pipeline, request, files, options)
        images = [_chosen(image, labels, wanted.max_detections) for image in analysis.images]
        card = analysis.cards[task]
        mask_format: MaskFormat = wanted.response_mask_format or "polygon"
        seconds = analysis.total_ms / 1000
        on_thread = self.pipeline.on_thread
        drawn: list[bytes] = []
        try:
            async with asyncio.timeout(self.pipeline.timeout_s):
                answers = [await on_thread(answer_json, image, card, mask_format, seconds) for image in images]
                if wanted.visualize_predictions:
                    numbered = enumerate(zip(files, images, strict=True), 1)
                    drawn = await asyncio.gather(
                        *(
                            on_thread(drawn_jpeg, file, self.limits.max_pixels, image, n)
                            for n, (file, image) in numbered
                        )
                    )
        except TimeoutError:
            raise RequestError(504, "deadline_exceeded", "the answer took too long to write") from None
        for answer, picture in zip(answers, drawn, strict=False):
            answer["visualization"] = base64.b64encode(picture).decode("ascii")
        return answers, drawn


def _chosen(image: ImageAnalysis, labels: tuple[str, ...] | None, most: int | None) -> ImageAnalysis:
    """The faces of the wanted labels, best first; instances and objects are chosen by their model."""
    return replace(image, faces=[face for face in image.faces if labels is None or face.label in labels][:most])


def _decode_all(pictures: Sequence[object]) -> list[bytes]:
    return [_decode(picture, number) for number, picture in enumerate(pictures, 1)]


def _decode(picture: object, number: int) -> bytes:
    if not isinstance(picture, dict):
        raise RequestError(400, "bad_request", 'must be an object {"type": "base64", "value": "..."}', number)
    kind = picture.get("type")
    if kind == "url":
        raise _no_url(number)
    if kind != "base64":
        raise RequestError(400, "bad_request", f"type {str(kind)[:40]!r} is not supported; use 'base64'", number)
    return decode_base64(picture.get("value"), number)


def _no_url(number: int | None) -> RequestError:
    return RequestError(400, "bad_request", "the service fetches no URLs; send the picture itself as base64", number)


def _json(content: Any) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")
