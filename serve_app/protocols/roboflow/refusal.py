"""How Roboflow's inference API refuses."""

import orjson
from starlette.responses import Response

from serve_app.http.errors import RequestError


def refusal(error: RequestError) -> Response:
    """``{"message": message}``."""
    return Response(orjson.dumps({"message": error.told}), error.status, error.headers, media_type="application/json")
