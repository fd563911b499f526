"""What the gRPC services share: the context that they need, how a call is refused, codes of failures, request ids."""

import logging
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import grpc  # type: ignore[import-untyped]

from serve_app.pipeline import Failure

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
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class GrpcContext(Protocol):
    """What is used of a call's context."""

    def set_code(self, code: grpc.StatusCode) -> None: ...

    def set_details(self, details: str) -> None: ...

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]] | None: ...


class CallRefused(Exception):
    """A call that gets no answer: its gRPC code and what the client is told."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(code, details)
        self.code = code
        self.details = details


@contextmanager
def refusals(context: GrpcContext) -> Iterator[None]:
    """Writes a refusal, or a fault of ours without its insides, to the context; the call then ends by an exception."""
    try:
        yield
    except CallRefused as refusal:
        context.set_code(refusal.code)
        context.set_details(refusal.details)
        raise
    except Exception:
        logger.exception("a gRPC call failed")
        details = "the service failed on this request"
        context.set_code(grpc.StatusCode.INTERNAL)
        context.set_details(details)
        raise CallRefused(grpc.StatusCode.INTERNAL, details) from None


def invalid(details: str) -> CallRefused:
    """The refusal of an argument."""
    return CallRefused(grpc.StatusCode.INVALID_ARGUMENT, details)


def refuse_failures(failures: Sequence[Sequence[Failure]]) -> None:
    """Raise CallRefused for the worst failure of a request's images, if there is one."""
    found = [(failure, index) for index, of_image in enumerate(failures) for failure in of_image]
    if found:
        order = list(CODE_OF_FAILURE)
        worst, index = max(found, key=lambda pair: order.index(pair[0].code))
        raise CallRefused(CODE_OF_FAILURE[worst.code], f"input images, element {index}: {worst.message}")


def metadata_of(context: GrpcContext) -> dict[str, str]:
    """The call's text metadata."""
    return {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}


def request_id(metadata: dict[str, str]) -> str:
    """The client's ``x-request-id``, else Serve's ``request_id``, if well-formed, else a new one."""
    given = metadata.get("x-request-id") or metadata.get("request_id", "")
    return given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())
