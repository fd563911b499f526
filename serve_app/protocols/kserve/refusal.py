"""How KServe V1 and TensorFlow Serving's REST API refuse."""

import orjson
from starlette.responses import Response

from serve_app.http.errors import RequestError


def refusal(error: RequestError) -> Response:
    """``{"error": message}``."""
    return Response(orjson.dumps({"error": error.told}), error.status, error.headers, media_type="application/json")
