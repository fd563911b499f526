"""The service's API keys: who holds one, how much each may ask, over HTTP and gRPC alike."""

import hashlib
import hmac
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deployments.plain_yaml import MAX_BYTES, read_yaml

logger = logging.getLogger("ray.serve")

LOOKED_AT_EVERY_S = 1.0
"""Seconds after which the file of keys is looked at again."""


class KeyEntry(BaseModel):
    """One key of the file, which holds no key itself: a digest of a random one cannot be turned back."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    requests_per_s: float | None = Field(default=None, gt=0)
    """On average, at each ingress replica; twice as many seconds' worth may come at once."""
    ongoing_requests: int | None = Field(default=None, ge=1)
    """At a time, at each ingress replica."""


class KeyFile(BaseModel):
    """The YAML file of keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: tuple[KeyEntry, ...] = Field(min_length=1)


class TooManyRequests(Exception):
    """A key asks for more than it may."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = max(1, math.ceil(retry_after_s))


class Holder:
    """Who holds a key, and what they have in progress."""

    def __init__(self, entry: KeyEntry, clock: Callable[[], float] = time.monotonic) -> None:
        self.entry = entry
        self._clock = clock
        self._ongoing = 0
        self._tokens, self._filled = self._most(), clock()

    @contextmanager
    def request(self) -> Iterator[None]:
        """One request, until the context ends. Raises TooManyRequests."""
        name, most, rate = self.entry.name, self.entry.ongoing_requests, self.entry.requests_per_s
        if most is not None and self._ongoing >= most:
            raise TooManyRequests(f"the key of {name} has {most} requests in progress, as many as it may", 1.0)
        if rate is not None:
            now = self._clock()
            self._tokens = min(self._most(), self._tokens + rate * (now - self._filled))
            self._filled = now
            if self._tokens < 1:
                raise TooManyRequests(
                    f"the key of {name} may send {rate:g} requests a second", (1 - self._tokens) / rate
                )
            self._tokens -= 1
        self._ongoing += 1
        try:
            yield
        finally:
            self._ongoing -= 1

    def _most(self) -> float:
        return max(1.0, 2 * (self.entry.requests_per_s or 0))


class ApiKeys:
    """Every key in force; false where none is asked for.

    A key counts in whichever place it comes: a gateway's own token in one does not hide it in the other.
    """

    def __init__(self, entries: Sequence[KeyEntry] = (), file: Path | None = None) -> None:
        self._fixed = {entry.sha256: Holder(entry) for entry in entries}
        self._file = file
        self._of_file: dict[str, Holder] = {}
        self._seen: tuple[int, int] | None = None
        self._looked = -math.inf
        if file is not None:
            self._take_over(read_key_file(file))
            self._seen, self._looked = _state(file), time.monotonic()

    @classmethod
    def of(cls, *keys: str) -> Self:
        """Keys without limits, as an environment variable holds them."""
        return cls([KeyEntry(name=f"key-{n}", sha256=digest(key.encode())) for n, key in enumerate(keys, 1)])

    @classmethod
    def from_settings(cls, variable: str | None, file: str | None) -> Self:
        """From the environment variable and the file that the settings name.

        Raises ValueError where the variable holds no key or the file is not one of keys, OSError where it cannot be
        read: the service would be open.
        """
        texts = os.environ.get(variable, "").split(",") if variable else []
        keys = [text.strip() for text in texts if text.strip()]
        if variable and not keys:
            raise ValueError(f"api_keys_env names {variable}, which holds no key: the service would be open")
        made = cls.of(*keys)
        return cls([holder.entry for holder in made._fixed.values()], Path(file) if file else None)

    def __bool__(self) -> bool:
        return bool(self._fixed) or self._file is not None

    def holder(self, headers: Mapping[str, str]) -> Holder | None:
        """Who sent ``authorization: Bearer KEY`` or ``x-api-key: KEY``; header names in lower case."""
        self._look_again()
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = [headers.get("x-api-key", ""), token.strip() if scheme.lower() == "bearer" else ""]
        found = None
        for value in given:
            # Header bytes are read as Latin-1, keys are written in UTF-8.
            sent = digest(value.encode("latin-1", errors="replace"))
            # Every key is compared, so that the time taken tells nothing of which one was close.
            for known, holder in (*self._fixed.items(), *self._of_file.items()):
                if hmac.compare_digest(sent, known) and value:
                    found = holder
        return found

    def _look_again(self) -> None:
        """Take over the file where it changed, so that keys are turned over without a restart."""
        now = time.monotonic()
        if self._file is None or now - self._looked < LOOKED_AT_EVERY_S:
            return
        self._looked = now
        try:
            state = _state(self._file)
            if state != self._seen:
                self._seen = state
                self._take_over(read_key_file(self._file))
                logger.info("%d API keys were read from %s", len(self._of_file), self._file)
        except (OSError, ValueError) as error:
            logger.error("the API keys in force stay, since the file cannot be taken over: %s", error)

    def _take_over(self, entries: Sequence[KeyEntry]) -> None:
        """Who keeps a key and its terms keeps what is in progress."""
        before = self._of_file
        self._of_file = {
            entry.sha256: before[entry.sha256]
            if entry.sha256 in before and before[entry.sha256].entry == entry
            else Holder(entry)
            for entry in entries
        }


def digest(key: bytes) -> str:
    """SHA-256, in hexadecimal digits. Keys are long random strings, so that no slow hash is needed."""
    return hashlib.sha256(key).hexdigest()


def read_key_file(path: Path) -> tuple[KeyEntry, ...]:
    """The entries of a file of keys. Raises ValueError naming the file and what is wrong, OSError."""
    with path.open("rb") as file:
        text = file.read(MAX_BYTES + 1)
    try:
        entries = KeyFile.model_validate(read_yaml(text)).keys
    except ValueError as error:
        what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error).splitlines()[0]
        raise ValueError(f"{path.absolute()} is no file of API keys: {what}") from None
    names = [entry.name for entry in entries]
    if len(set(names)) < len(names):
        raise ValueError(f"{path.absolute()}: two keys have one name")
    return entries


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size
