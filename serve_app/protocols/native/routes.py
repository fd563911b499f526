"""The native API: ``POST /analyze``."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from serve_app.analysis import Analysis, AnalyzeRequest, ImageAnalysis
from serve_app.http.errors import PRECEDENCE, RequestError, error_response, from_failures, refusals_as
from serve_app.http.negotiation import best_form
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.native.answer import Picture, PictureFormat, annotated, write_answer
from serve_app.protocols.native.openapi import RESPONSES, request_body_and_parameters
from serve_app.protocols.native.request import Image, read_request
from serve_app.traceparent import well_formed

JSON = "application/json"
PICTURES: dict[str, PictureFormat] = {"image/jpeg": "jpeg", "image/png": "png"}


def routes(pipeline: Pipeline, limits: Limits) -> APIRouter:
    """The native route; its errors are in the native form."""
    router = APIRouter()

    @router.post(
        "/analyze",
        summary="Find faces with and without masks, instances, and who wears what",
        openapi_extra=request_body_and_parameters(pipeline.branches),
        responses=RESPONSES,
        response_class=Response,
    )
    @refusals_as(error_response)
    async def analyze(request: Request) -> Response:
        return await _respond(request, pipeline, limits)

    return router


async def _respond(request: Request, pipeline: Pipeline, limits: Limits) -> Response:
    media_type = best_form(",".join(request.headers.getlist("accept")), JSON, tuple(PICTURES))
    if media_type is None:
        raise RequestError(406, "not_acceptable", f"Accept allows none of {JSON}, {', '.join(PICTURES)}")
    format = PICTURES.get(media_type)
    pipeline.check_room(request.state.arrived)
    asked = await read_request(request, pipeline, limits)
    if format and len(asked.images) > 1:
        message = f"{media_type} answers for one image, the request has {len(asked.images)}; accept {JSON}"
        raise RequestError(400, "bad_request", message)
    options = asked.options
    call = AnalyzeRequest(
        images=(),
        request_id=request.state.request_id,
        options=options.for_pipeline(),
        traceparent=well_formed(request.headers.get("traceparent")),
        keep_pixels=options.annotate or format is not None,
        arrived=request.state.arrived,
    )
    try:
        # The pipeline keeps the request's deadline; drawing and writing may take as long again.
        async with asyncio.timeout(2 * pipeline.timeout_s):
            analysis, pictures = await _analyze(pipeline, call, asked.images, format)
            _refuse_if_all_failed(analysis)
            if format and pictures[0]:
                failed = ", ".join(failure.task for failure in analysis.images[0].errors if failure.task)
                return Response(
                    pictures[0][0], headers={"X-Failed-Tasks": failed} if failed else None, media_type=media_type
                )
            content = await write_answer(
                pipeline, analysis, options.masks, call.request_id, pictures if options.annotate else None
            )
    except TimeoutError:
        raise RequestError(504, "deadline_exceeded", "the answer could not be written in time") from None
    return Response(content, media_type=JSON)


async def _analyze(
    pipeline: Pipeline, call: AnalyzeRequest, images: Sequence[Image], format: PictureFormat | None
) -> tuple[Analysis, list[Picture | None]]:
    """Analyse the images, and draw each at once, so that its pixels are freed then, not with the last image's."""
    pictures: dict[int, Picture | None] = {}

    async def draw(found: ImageAnalysis) -> None:
        pictures[id(found)] = await pipeline.on_thread(annotated, found, format)

    readable = [image for image in images if not isinstance(image, ImageAnalysis)]
    analysis = await pipeline.analyze(replace(call, images=readable, then=draw if call.keep_pixels else None))
    found = iter(analysis.images)
    every = [image if isinstance(image, ImageAnalysis) else next(found) for image in images]
    return replace(analysis, images=every), [pictures.get(id(image)) for image in every]


def _refuse_if_all_failed(analysis: Analysis) -> None:
    """Raise the worst failure as the request's error if no task succeeded on any image."""
    for image in analysis.images:
        failed = {failure.task for failure in image.errors}
        if None not in failed and not failed >= analysis.models.keys():
            return
    errors = [from_failures(image.errors, number) for number, image in enumerate(analysis.images, 1)]
    worst = max(errors, key=lambda error: PRECEDENCE.index(error.status))
    if {error.code for error in errors} == {"unsupported_format"}:
        worst.status = 415
    if len(errors) > 1:
        worst.message = f"none of the {len(errors)} images could be analysed; image {worst.image}: {worst.message}"
    raise worst
