"""Errors of the HTTP side, and the one table that gives failures their status."""

from collections.abc import Sequence

from serve_app.pipeline import Failure

STATUS_OF_FAILURE = {
    "unreadable_image": 400,
    "unsupported_format": 415,
    "image_too_large": 413,
    "overloaded": 503,
    "unavailable": 503,
    "deadline_exceeded": 504,
    "internal": 500,
}


class RequestError(Exception):
    """A request that is refused: the status and what a client may be told. Every dialect writes it in its own form."""

    def __init__(
        self, status: int, code: str, message: str, image: int | None = None, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.image = image
        """Number of the image at fault, from 1, if it is one image's."""
        self.retry_after_s = retry_after_s


def from_failures(failures: Sequence[Failure], image: int | None = None) -> RequestError:
    """The one error that stands for several failures: our own faults first, then overload, deadline, the client's."""
    worst = max(failures, key=lambda failure: PRECEDENCE.index(STATUS_OF_FAILURE[failure.code]))
    status = STATUS_OF_FAILURE[worst.code]
    return RequestError(status, worst.code, worst.message, image, retry_after_s=1 if status == 503 else None)


PRECEDENCE = (400, 415, 413, 504, 503, 500)
