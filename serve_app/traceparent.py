"""W3C trace context as it comes from strangers."""

import re

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def well_formed(value: str | None) -> str | None:
    """A ``traceparent`` header's value, or None where it is absent or malformed."""
    return value if value is not None and _TRACEPARENT.fullmatch(value) else None
