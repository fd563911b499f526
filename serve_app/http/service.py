"""What operators and the curious ask, beside the protocols: health, models, documentation."""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serve_app.http import page
from serve_app.http.docs_page import docs_page
from serve_app.http.negotiation import best_offer
from serve_app.http.openapi import JSON, OBJECT, OF_KEYS, answers, refusals
from serve_app.limits import Limits
from serve_app.pipeline import Branch, Pipeline

TOLD_LIMITS = ("max_body_bytes", "max_images", "max_pixels")
"""Those that a client can keep to; the others are the operator's."""


def told_of(branch: Branch) -> dict[str, Any]:
    """A branch's card, with the thresholds that hold where a request names none."""
    # Where the weights lie is the operator's own business.
    card = branch.card.model_dump(mode="json", exclude={"weights"})
    card["thresholds"] |= branch.thresholds
    if "score_threshold" in branch.thresholds:
        card["class_thresholds"] = {}  # as a request's, it is for all classes
    return card


def routes(pipeline: Pipeline, limits: Limits) -> APIRouter:
    """``/livez``, ``/readyz``, ``/models``, ``/docs`` and ``/``."""
    router = APIRouter()

    @router.get("/livez", summary="Whether this process answers", responses=answers({"live": True}))
    async def livez() -> Response:
        return JSONResponse({"live": True})

    @router.get(
        "/readyz",
        summary="Whether every model answers",
        responses={
            **answers({"ready": True, "models": dict.fromkeys(pipeline.branches, True)}),
            503: {"description": "One does not", "content": {JSON: {"schema": OBJECT}}},
        },
    )
    async def readyz() -> Response:
        models = pipeline.ready()
        ready = all(models.values())
        return JSONResponse({"ready": ready, "models": models}, 200 if ready else 503)

    @router.get(
        "/models",
        summary="The cards of the models that are served",
        responses={
            **answers({"models": [told_of(branch) for branch in pipeline.branches.values()]}),
            **refusals(OF_KEYS),
        },
    )
    async def models() -> Response:
        return JSONResponse({"models": [told_of(branch) for branch in pipeline.branches.values()]})

    @router.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        return page.html(docs_page(request.app.openapi()))

    about = {
        "status": "alive",
        "service": "maskgraph",
        "routes": ["/analyze", "/models", "/livez", "/readyz", "/docs"],
        "limits": {name: getattr(limits, name) for name in TOLD_LIMITS},
    }
    alive = answers(about, description="Routes and limits as JSON, for programs; the page, for browsers")
    alive[200]["content"]["text/html"] = {"schema": {"type": "string"}}

    @router.get("/", summary="What this is", responses=alive)
    async def root(request: Request) -> Response:
        # Only for those who would rather have a page: KServe's V1 client asks a live server for "status" here.
        if best_offer(",".join(request.headers.getlist("accept")), ("application/json", "text/html")) == "text/html":
            return page.page(request)
        return JSONResponse(about, headers={"Vary": "Accept"})

    return router
