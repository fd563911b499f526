"""The page at ``/`` and the files it is made of: read once, at start, from the package's own folder."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

FOLDER = Path(__file__).parents[1] / "web"
MEDIA_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
}
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        # The client's own photos are blobs; masks in the form of PNG are data.
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}


@dataclass(frozen=True, slots=True)
class WebFile:
    """A file of the page, as it is sent."""

    content: bytes
    media_type: str
    etag: str


def read_files(folder: Path = FOLDER) -> Mapping[str, WebFile]:
    """Every file of the page by its path below ``folder``, with ``/`` between the parts."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in MEDIA_TYPES:
            content = path.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
            files[path.relative_to(folder).as_posix()] = WebFile(content, MEDIA_TYPES[path.suffix], etag)
    return files


FILES = read_files()
PATHS = frozenset(f"/web/{name}" for name in FILES if name != "index.html")


def routes() -> APIRouter:
    """One route a file below ``/web``: no part of a client's path names a file."""
    router = APIRouter()
    for name, file in FILES.items():
        if f"/web/{name}" in PATHS:
            router.add_route(f"/web/{name}", _sender(file), include_in_schema=False)
    return router


def page(request: Request) -> Response:
    """The page itself; it depends on ``Accept``, since programs get JSON at the same path."""
    if not request.scope.get("raw_path", b"/").partition(b"?")[0].endswith(b"/"):
        # Below a prefix: its files are named from here.
        return RedirectResponse(f"{request.scope['root_path'].rpartition('/')[2]}/", headers={"Vary": "Accept"})
    return _send(FILES["index.html"], request, {"Vary": "Accept"})


def html(content: str) -> HTMLResponse:
    """Another page under the same policy."""
    return HTMLResponse(content, headers=HEADERS)


def _sender(file: WebFile) -> Callable[[Request], Awaitable[Response]]:
    async def send(request: Request) -> Response:
        return _send(file, request)

    return send


def _send(file: WebFile, request: Request, headers: Mapping[str, str] | None = None) -> Response:
    # Revalidated each time, so that a new version of the service is a new page at once.
    headers = {**HEADERS, "Cache-Control": "no-cache", "ETag": file.etag, **(headers or {})}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)
