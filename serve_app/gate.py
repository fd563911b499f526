"""The gate before Serve's queues, as ``RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH`` names it in the configs."""

from starlette.middleware import Middleware
from uvicorn.config import HTTP_PROTOCOLS

from serve_app.http.gate import Gate
from serve_app.refusals import write_refusal


def middlewares() -> list[Middleware]:
    """Serve calls this in each process that is to listen for HTTP, before it listens.

    It lets uvicorn choose, which takes httptools; that loses the body of a request that offers ``Upgrade: h2c``, as
    Java's and curl's do, and reads it as the next request. h11 reads it whole.
    """
    HTTP_PROTOCOLS["auto"] = HTTP_PROTOCOLS["h11"]
    return [Middleware(Gate, write_refusal=write_refusal)]
