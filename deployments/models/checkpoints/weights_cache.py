"""The weights file that a model card names: a path on this machine, or a URL that is fetched once and kept."""

import hashlib
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from filelock import FileLock
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from deployments.models.card import ModelCard

MOST_BYTES = 4 * 1024**3
"""Of a weights file; SOLOv2's largest published one is below 0.4 GB."""
TIMEOUT = httpx.Timeout(60, connect=15)
"""Seconds without a byte; a whole file may take longer."""
MOST_REDIRECTS = 5
CHUNK_BYTES = 1024**2
LOGGED_EVERY = 64 * 1024**2
"""Bytes between two log lines, where there is no terminal for a progress bar."""

# The logger that Serve shows of a replica.
logger = logging.getLogger("ray.serve")


def local_weights(card: ModelCard, folder: Path) -> Path:
    """Path of a card's weights on this machine, fetched if need be, and verified if the card has a sha256.

    folder: where the card lies. Raises ValueError where there is no such file, or it is not the card's; what ``fetch``
    raises for a URL.
    """
    if card.weights_are_remote:
        assert card.sha256 is not None
        return fetch(card.weights, card.sha256)
    path = folder / card.weights
    if not path.is_file():
        host = socket.gethostname()
        raise ValueError(f"model card {card.name}: there is no weights file {path.absolute()} on {host}")
    if card.sha256 and (found := file_sha256(path)) != card.sha256:
        raise ValueError(f"model card {card.name}: {path} has sha256 {found}, expected {card.sha256}")
    return path


def cache_folder() -> Path:
    """MASKGRAPH_CACHE, or ``maskgraph`` in the user's folder for caches."""
    if own := os.environ.get("MASKGRAPH_CACHE"):
        return Path(own)
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "maskgraph"


def file_sha256(path: Path) -> str:
    """Hexadecimal digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(url: str, sha256: str) -> Path:
    """Path of the file with this sha256 in the cache; downloaded from an https:// URL only where it is not there yet.

    Processes that want the same file at once wait for the first one's download. A download that fails leaves no file.
    SSL_CERT_FILE and HTTPS_PROXY are respected. Raises ValueError where what comes is not that file or is over
    MOST_BYTES, ConnectionError where nothing whole comes, OSError where the cache cannot be written.
    """
    path = cache_folder() / sha256
    # Before the lock: a cache that came with a container's image may be read-only.
    if _is_whole(path):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not _is_whole(path):
            _download(url, path)
    return path


def _is_whole(path: Path) -> bool:
    if not path.is_file():
        return False
    whole = file_sha256(path) == path.name
    if not whole:
        logger.warning("%s is damaged and will be fetched again", path)
    return whole


def _download(url: str, path: Path) -> None:
    parts = urlsplit(url)
    # Without a query or a user, which may be secret.
    source = f"https://{parts.hostname}{parts.path}"
    # What a killed process left under this name is overwritten; the lock keeps others away.
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            found = _receive(url, source, file.write)
        if found != path.name:
            raise ValueError(f"{source} has sha256 {found}, expected {path.name}; nothing of it was kept")
        partial.replace(path)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ConnectionError(f"{source}: {error or type(error).__name__}") from error
    finally:
        partial.unlink(missing_ok=True)


def _receive(url: str, source: str, write: Callable[[bytes], object]) -> str:
    """Hand a file on piece by piece; returns its sha256. source: what to call it."""
    digest, received = hashlib.sha256(), 0
    client = httpx.Client(
        follow_redirects=True,
        max_redirects=MOST_REDIRECTS,
        timeout=TIMEOUT,
        headers={"Accept-Encoding": "identity"},
        event_hooks={"request": [_only_https]},
    )
    with client, client.stream("GET", url) as response:
        if response.status_code != httpx.codes.OK:
            raise ConnectionError(f"{source}: the server answered {response.status_code}")
        stated = response.headers.get("content-length", "")
        total = int(stated) if stated.isdecimal() else None
        _check_size(total or 0, source)
        with _progress(source, total) as show:
            for chunk in response.iter_bytes(CHUNK_BYTES):
                received += len(chunk)
                _check_size(received, source)
                digest.update(chunk)
                write(chunk)
                show(received)
    return digest.hexdigest()


def _check_size(count: int, source: str) -> None:
    if count > MOST_BYTES:
        raise ValueError(f"{source} is over {MOST_BYTES} bytes")


def _only_https(request: httpx.Request) -> None:
    """Called before each request, and so for each redirect."""
    if request.url.scheme != "https":
        raise ConnectionError(f"redirected to {request.url.scheme}://{request.url.host}, but only https is followed")


@contextmanager
def _progress(source: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A function that shows how many bytes have come: as a bar in a terminal, else as log lines."""
    if sys.stderr.isatty():
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(source.rpartition("/")[2], total=total)
            yield lambda received: bar.update(task, completed=received)
        return
    logger.info("fetching %s (%s)", source, f"{total / 1e6:.1f} MB" if total else "size unknown")
    logged = 0

    def log(received: int) -> None:
        nonlocal logged
        if received - logged >= LOGGED_EVERY:
            logged = received
            logger.info("fetched %.0f MB of %s", received / 1e6, source)

    yield log
    logger.info("fetched all of %s", source)
