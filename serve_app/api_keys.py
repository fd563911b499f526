"""Whether a request carries one of the service's API keys, over HTTP or gRPC."""

import hmac
from collections.abc import Collection, Mapping


def carries_key(headers: Mapping[str, str], keys: Collection[str]) -> bool:
    """Whether ``authorization: Bearer KEY`` or ``x-api-key: KEY`` is there; header names in lower case."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    given = key.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
    # Header bytes are read as Latin-1, keys are written in UTF-8.
    sent = given.encode("latin-1", errors="replace")
    # Every key is compared, so that the time taken tells nothing of which one was close.
    return sum(hmac.compare_digest(sent, key.encode()) for key in keys) > 0
