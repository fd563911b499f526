"""What can go wrong with a question, in the service's own words where it gave any."""

import email.utils
import time
from typing import Any

import httpx


class MaskgraphError(Exception):
    """A question that got no answer; ``str()`` is what is wrong, in one line."""

    def __init__(
        self,
        message: str,
        code: str,
        *,
        status: int | None = None,
        image: int | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        """The service's word for it, such as ``unreadable_image``; the client's own where no answer came."""
        self.status = status
        """Of HTTP; None where no answer came."""
        self.image = image
        """The number of the photo at fault, from 1, if it is one photo's."""
        self.request_id = request_id
        """By which the service's log knows the request."""
        self.retry_after_s = retry_after_s
        """Seconds after which the service would rather be asked again."""


class ServiceUnreachable(MaskgraphError):
    """No connection could be made, so nothing was asked."""


class ConnectionLost(MaskgraphError):
    """The connection broke after the question was on its way."""


class DeadlineExceeded(MaskgraphError):
    """The time was over, by the service's clock (504) or the client's own."""


class Overloaded(MaskgraphError):
    """The service has more to do than it can (503), or this key has asked for more than it may (429)."""


class Unauthorized(MaskgraphError):
    """The service asks for an API key, or for another one (401, 403)."""


class BadRequest(MaskgraphError):
    """A photo or an option that the service refuses (other 4xx)."""


class ServiceFault(MaskgraphError):
    """The service failed (5xx), or what answers at this address is not Maskgraph."""


def from_response(response: httpx.Response) -> MaskgraphError:
    """The error that a response with another status than 200 stands for."""
    status = response.status_code
    told = _told(response)
    where = response.url.copy_with(query=None)
    message = str(told.get("message") or f"HTTP {status} from {where}, not in Maskgraph's form")
    number = told.get("image")
    return _kind(status)(
        message,
        str(told.get("code") or "not_maskgraph"),
        status=status,
        image=number if isinstance(number, int) else None,
        request_id=response.headers.get("X-Request-ID"),
        retry_after_s=retry_after(response.headers.get("Retry-After")),
    )


def from_transport(error: httpx.TransportError, url: str) -> MaskgraphError:
    """The error that a failure of the connection stands for; ``url`` is the service's."""
    why = str(error) or type(error).__name__
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout() | httpx.ProxyError() | httpx.UnsupportedProtocol():
            return ServiceUnreachable(f"cannot connect to {url}: {why}", "unreachable")
        case httpx.TimeoutException():
            return DeadlineExceeded(f"{url} gave no answer in time", "deadline_exceeded")
        case _:
            return ConnectionLost(f"the connection to {url} broke: {why}", "connection_lost")


def retry_after(value: str | None) -> float | None:
    """Seconds by a ``Retry-After`` header: a number or a date (RFC 9110, 10.2.3); None for anything else."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _kind(status: int) -> type[MaskgraphError]:
    if status in (401, 403):
        return Unauthorized
    if status in (429, 503):
        return Overloaded
    if status == 504:
        return DeadlineExceeded
    return BadRequest if 400 <= status < 500 else ServiceFault


def _told(response: httpx.Response) -> dict[str, Any]:
    try:
        told = response.json()["error"]
    except (ValueError, LookupError, TypeError):
        return {}
    return told if isinstance(told, dict) else {}
