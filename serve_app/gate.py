"""The gate before Serve's queues, as ``RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH`` names it in the configs."""

from collections.abc import Callable

from ray.util.metrics import Counter
from starlette.middleware import Middleware
from uvicorn.config import HTTP_PROTOCOLS

from serve_app.grpc.gate import Gate as CallGate
from serve_app.grpc.listening import listen_as_configured
from serve_app.grpc.reflection import describe
from serve_app.http.gate import Gate
from serve_app.protocols.open_inference.protos import open_inference_pb2
from serve_app.protocols.tf_serving.protos import tensorflow_serving_pb2
from serve_app.refusals import write_refusal

LIVE = "/inference.GRPCInferenceService/ServerLive"
"""Whether a process lives is no question to another one."""


def middlewares() -> list[Middleware]:
    """Serve calls this in each process that is to listen for HTTP, before it listens.

    It lets uvicorn choose, which takes httptools; that loses the body of a request that offers ``Upgrade: h2c``, as
    Java's and curl's do, and reads it as the next request. h11 reads it whole. The gRPC servers of the process listen
    where the environment says, and describe our services to who asks.
    """
    HTTP_PROTOCOLS["auto"] = HTTP_PROTOCOLS["h11"]
    own_answers = {LIVE: open_inference_pb2.ServerLiveResponse(live=True).SerializeToString()}
    report = refusals_counted()
    listen_as_configured(lambda server: CallGate(own_answers, report=report).install(server))
    for file in (open_inference_pb2.DESCRIPTOR, tensorflow_serving_pb2.DESCRIPTOR):
        describe(file)
    return [Middleware(Gate, write_refusal=write_refusal, report=report)]


def refusals_counted() -> Callable[[str], None]:
    """Counts the gate's refusals by code, as Serve's processes that are no replicas can."""
    refused = Counter("maskgraph_gate_refused", "Requests refused before Serve's queues, by code.", ("code",))
    return lambda code: refused.inc(tags={"code": code})
