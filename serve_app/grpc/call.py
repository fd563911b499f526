"""What the gRPC services share: the context that they need, how a call is refused, codes of failures, request ids."""

import logging
import math
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import grpc  # type: ignore[import-untyped]
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from serve_app.admission import Overloaded
from serve_app.seen import Seen
from serve_app.traceparent import well_formed

if TYPE_CHECKING:  # Serve's proxies import this module, and need none of the pipeline
    from serve_app.analysis import Failure

logger = logging.getLogger("ray.serve")

# In the order of precedence: of several failures the last one here stands for all.
CODE_OF_FAILURE = {
    "unreadable_image": grpc.StatusCode.INVALID_ARGUMENT,
    "unsupported_format": grpc.StatusCode.INVALID_ARGUMENT,
    "image_too_large": grpc.StatusCode.INVALID_ARGUMENT,
    "deadline_exceeded": grpc.StatusCode.DEADLINE_EXCEEDED,
    "overloaded": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "unavailable": grpc.StatusCode.UNAVAILABLE,
    "internal": grpc.StatusCode.INTERNAL,
}
RETRIED = ("overloaded", "unavailable")
"""Failures after which a client may come again in a second."""
PUSHBACK = "grpc-retry-pushback-ms"
BUSY = "x-maskgraph-busy"
"""Trailing metadata by which an ingress tells the gate of an overload; it does not leave the service."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class GrpcContext(Protocol):
    """What is used of a call's context."""

    def set_code(self, code: grpc.StatusCode) -> None: ...

    def set_details(self, details: str) -> None: ...

    def set_trailing_metadata(self, trailing_metadata: list[tuple[str, str | bytes]]) -> None: ...

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]] | None: ...


class CallRefused(Exception):
    """A call that gets no answer: its gRPC code, what the client is told, and when it may come again."""

    def __init__(
        self,
        code: grpc.StatusCode,
        details: str,
        retry_after_s: float | None = None,
        interval_s: float | None = None,
    ) -> None:
        super().__init__(code, details)
        self.code = code
        self.details = details
        self.retry_after_s = retry_after_s
        self.interval_s = interval_s
        """Of an overload: how often room for one image comes, which the gate is told."""

    def write_to(self, context: GrpcContext) -> None:
        """Set code, details, and what retrying clients read.

        That is ``google.rpc.RetryInfo`` in ``grpc-status-details-bin``, and the pushback that gRPC's own retries obey.
        """
        context.set_code(self.code)
        context.set_details(self.details)
        if self.retry_after_s is None:
            return
        packed = AnyMessage()
        packed.Pack(RetryInfo(retry_delay=Duration(seconds=math.ceil(self.retry_after_s))))
        status = Status(code=self.code.value[0], message=self.details, details=[packed])
        trailing: list[tuple[str, str | bytes]] = [
            ("grpc-status-details-bin", status.SerializeToString()),
            (PUSHBACK, str(math.ceil(self.retry_after_s * 1000))),
        ]
        if self.interval_s is not None:
            trailing.append((BUSY, f"{self.interval_s:.4f}"))
        context.set_trailing_metadata(trailing)


@contextmanager
def refusals(context: GrpcContext) -> Iterator[None]:
    """Writes a refusal, or a fault of ours without its insides, to the context; the call then ends by an exception."""
    try:
        yield
    except CallRefused as refusal:
        refusal.write_to(context)
        raise
    except Overloaded as overloaded:
        full = CallRefused(
            grpc.StatusCode.RESOURCE_EXHAUSTED, str(overloaded), overloaded.retry_after_s, overloaded.interval_s
        )
        full.write_to(context)
        raise full from None
    except Exception:
        logger.exception("a gRPC call failed")
        fault = CallRefused(grpc.StatusCode.INTERNAL, "the service failed on this request")
        fault.write_to(context)
        raise fault from None


def invalid(details: str) -> CallRefused:
    """The refusal of an argument."""
    return CallRefused(grpc.StatusCode.INVALID_ARGUMENT, details)


def refuse_failures(failures: Sequence[Sequence["Failure"]]) -> None:
    """Raise CallRefused for the worst failure of a request's images, if there is one."""
    found = [(failure, index) for index, of_image in enumerate(failures) for failure in of_image]
    if found:
        order = list(CODE_OF_FAILURE)
        worst, index = max(found, key=lambda pair: order.index(pair[0].code))
        retry_after_s = 1 if worst.code in RETRIED else None
        message = f"input images, element {index}: {worst.message}"
        raise CallRefused(CODE_OF_FAILURE[worst.code], message, retry_after_s)


def metadata_of(context: GrpcContext) -> dict[str, str]:
    """The call's text metadata."""
    return {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}


def seen_call(method: str, context: GrpcContext) -> Seen:
    """What is to be seen of a call that begins."""
    metadata = metadata_of(context)
    return Seen(request_id(metadata), method, well_formed(metadata.get("traceparent")), status="CANCELLED")


def request_id(metadata: dict[str, str]) -> str:
    """The client's ``x-request-id``, else Serve's ``request_id``, if well-formed, else a new one."""
    given = metadata.get("x-request-id") or metadata.get("request_id", "")
    return given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())
