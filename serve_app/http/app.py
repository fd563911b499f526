"""Puts the HTTP side together: the protocols asked for, health, documentation, keys."""

from collections.abc import Callable, Iterable, Sequence

from fastapi import APIRouter, FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from serve_app.api_keys import ApiKeys
from serve_app.http import page, service
from serve_app.http.arrival import Arrival
from serve_app.http.auth import Authentication
from serve_app.http.errors import ErrorBoundary, RequestError, error_response, noted
from serve_app.http.head import HeadAsGet
from serve_app.http.prefix import RootOfPrefix
from serve_app.http.request_id import RequestId
from serve_app.http.seen import SeenRequests
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.seen import Seen

Routes = Callable[[Pipeline, Limits], APIRouter]
"""The HTTP routes of a protocol."""
OPEN_PATHS = frozenset({"/", "/livez", "/readyz", "/v2/health/live", "/v2/health/ready"}) | page.PATHS
"""What answers without a key: load balancers hold none, and the page must be there to ask for it."""
CODES = {404: "not_found", 405: "method_not_allowed"}


def create_app(
    pipeline: Pipeline,
    limits: Limits,
    protocols: Iterable[Routes],
    api_keys: ApiKeys,
    cors_origins: Sequence[str] = (),
    write_refusal: Callable[[str, RequestError], Response] = lambda path, error: error_response(error),
    report: Callable[[Seen], None] = lambda request: None,
) -> FastAPI:
    """The HTTP application with the routes of these protocols; without ``api_keys`` it is open.

    Pages from ``cors_origins`` may read its answers in a browser; ``*`` stands for every page. ``write_refusal`` knows
    in which form a path's protocol says that a key asks for too much; by default it is the native one. ``report`` is
    told of each request at its end.
    """
    app = FastAPI(
        title="Maskgraph",
        version="1",
        description="Face-mask detection and instance segmentation of photos in one answer.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for routes in protocols:
        app.include_router(routes(pipeline, limits))
    app.include_router(service.routes(pipeline, limits))
    app.include_router(page.routes())
    app.add_exception_handler(HTTPException, _routing_error)
    if api_keys:
        app.add_middleware(Authentication, keys=api_keys, open_paths=OPEN_PATHS, write_refusal=write_refusal)
    app.add_middleware(ErrorBoundary)
    app.add_middleware(HeadAsGet)
    app.add_middleware(RootOfPrefix)
    if cors_origins:  # outside of the keys: a browser's preflight carries none
        app.add_middleware(
            CORSMiddleware,
            allow_origins=cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["X-Request-ID", "Retry-After"],
            max_age=600,
        )
    app.add_middleware(Arrival, limits=limits)
    app.add_middleware(SeenRequests, report=report)
    app.add_middleware(RequestId)  # added last, so outermost: errors carry the id too
    return app


async def _routing_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = {
        404: f"there is no {request.scope['path'][:200]!r} here; see /docs",
        405: f"{request.method[:20]} is not allowed on {request.scope['path'][:200]!r}",
    }.get(error.status_code, error.detail)
    refusal = RequestError(error.status_code, CODES.get(error.status_code, "bad_request"), message)
    return error_response(noted(refusal), error.headers)
