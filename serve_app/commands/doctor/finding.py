"""What a look at the machine found."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    subject: str
    state: State
    """``wrong`` keeps the service from starting, a warning makes it slower, less than it could be, or wants a look."""
    message: str
    mend: str = ""
    """What to do about it; empty where it is ok."""


def ok(subject: str, message: str) -> Finding:
    """All is well."""
    return Finding(subject, "ok", message)
