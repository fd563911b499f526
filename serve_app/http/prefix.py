"""Paths below others: the route prefix that an operator chose is the root, with and without a slash behind it."""

from starlette.types import ASGIApp, Receive, Scope, Send


class RootOfPrefix:
    """ASGI middleware: ``/photos`` is answered as ``/photos/`` is, where the service lies below ``/photos``."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == scope.get("root_path"):
            scope = {**scope, "path": f"{scope['path']}/"}
        await self.app(scope, receive, send)


def path_below(scope: Scope, root: str) -> str:
    """What follows ``root`` in a request's path, which begins with it below the operator's prefix."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")).removeprefix(root)
