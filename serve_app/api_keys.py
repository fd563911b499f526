"""Whether a request carries one of the service's API keys, over HTTP or gRPC."""

import hmac
from collections.abc import Collection, Mapping


def carries_key(headers: Mapping[str, str], keys: Collection[str]) -> bool:
    """Whether ``authorization: Bearer KEY`` or ``x-api-key: KEY`` is there; header names in lower case.

    Either will do: a gateway's own token in one place does not hide a key in the other.
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    given = [headers.get("x-api-key", ""), token.strip() if scheme.lower() == "bearer" else ""]
    # Header bytes are read as Latin-1, keys are written in UTF-8.
    sent = [value.encode("latin-1", errors="replace") for value in given]
    # Every key is compared, so that the time taken tells nothing of which one was close.
    return sum(hmac.compare_digest(value, key.encode()) for value in sent for key in keys) > 0
