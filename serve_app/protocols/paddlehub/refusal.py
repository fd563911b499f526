"""How PaddleHub Serving refuses: HTTP 200 with a status of its own in the body.

Where a client should come again later, or has been too slow, the HTTP status says so too: PaddleHub's clients read the
body alone, and everything between them and us acts on the status.
"""

from typing import Any

import orjson
from starlette.responses import Response

from serve_app.http.errors import RequestError

FAILED = "101"
TRUE_STATUSES = (408, 503)


def refusal(error: RequestError) -> Response:
    """2.x: status "101"; broken JSON is also HTTP 400, as Flask makes it."""
    status = 400 if error.code == "bad_json" else error.status if error.status in TRUE_STATUSES else 200
    return written({"msg": error.told, "results": "", "status": FAILED}, status, error.headers)


def refusal_of_1x(error: RequestError) -> Response:
    """1.x: status "-1"."""
    status = error.status if error.status in TRUE_STATUSES else 200
    return written({"msg": error.told, "results": "", "status": "-1"}, status, error.headers)


def written(content: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON as Flask writes it: keys sorted, a line feed at the end."""
    body = orjson.dumps(content, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
    return Response(body, status, headers, media_type="application/json")
