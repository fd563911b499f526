"""Asks a running service, blocking or with asyncio."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, Unpack

import httpx

from serve_app.client.attempts import Attempts
from serve_app.client.errors import MaskgraphError, ServiceFault, from_response, from_transport
from serve_app.client.options import Options, query
from serve_app.client.photos import Photo, is_photo, photo_file
from serve_app.client.results import Analysis, read_answer

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_TIMEOUT_S = 60.0
DEFAULT_RETRIES = 4
DEFAULT_CONCURRENCY = 16

Build = Callable[[float], httpx.Request]
"""Makes the request of an attempt that has so many seconds."""


class Client:
    """Asks a service, one question at a time in each thread; connections are kept and shared by threads.

    api_key: where the service asks for one. timeout_s: for each question, retries included. retries: at most so many,
    only where the service was not reached or was too busy (429, 503), and after the pause that it asks for.
    transport: httpx's, for a proxy, a socket of Unix, own certificates or a test.
    Raises ValueError for a URL that is not one of HTTP.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retries: int = DEFAULT_RETRIES,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._timeout_s, self._retries = timeout_s, retries
        self._http = httpx.Client(base_url=_checked(url), headers=_headers(api_key), transport=transport)

    def analyze(self, photo: Photo, **options: Unpack[Options]) -> Analysis:
        """What is in a photo. Raises MaskgraphError, TypeError and ValueError for what is no photo or option, OSError.

        A task that failed is an entry in the analysis's ``errors``; the photo's error is raised where all did.
        """
        return self.analyze_many([photo], **options)[0]

    def analyze_many(self, photos: Sequence[Photo], **options: Unpack[Options]) -> list[Analysis]:
        """What is in several photos, asked in one request and answered in their order. Raises as ``analyze``.

        A photo that could not be read has an entry in its ``errors``; an error is raised where none could.
        """
        return read_answer(self.ask(photos, **options))

    def ask(self, photos: Sequence[Photo], **options: Unpack[Options]) -> dict[str, Any]:
        """The answer as the service's JSON, which ``read_answer`` reads. Raises as ``analyze``."""
        form = _form(photos, options)

        def build(left: float) -> httpx.Request:
            return self._http.build_request("POST", "analyze", **form(left))

        return self._exchange(build, options.get("timeout_s", self._timeout_s))

    def models(self) -> list[dict[str, Any]]:
        """The cards of the models that are served. Raises MaskgraphError."""
        return _cards(self._exchange(lambda left: self._http.build_request("GET", "models"), self._timeout_s))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _exchange(self, build: Build, timeout_s: float) -> dict[str, Any]:
        attempts = Attempts(timeout_s, self._retries)
        while True:
            try:
                return _content(self._send(build(attempts.remaining()), attempts))
            except MaskgraphError as error:
                pause = attempts.pause(error)
            time.sleep(pause)

    def _send(self, request: httpx.Request, attempts: Attempts) -> httpx.Response:
        request.extensions["timeout"] = attempts.timeout().as_dict()
        request.stream = _Bounded(request.stream, attempts)
        try:
            response = self._http.send(request, stream=True)
            response.stream = _Bounded(response.stream, attempts)
            response.read()
        except httpx.TransportError as error:
            raise from_transport(error, str(self._http.base_url)) from error
        return response


class AsyncClient:
    """``Client`` for asyncio: the same questions, awaited, ``concurrency`` of them at a time.

    The others wait for their turn, before their photos are read and their time begins: thousands may be asked at once.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retries: int = DEFAULT_RETRIES,
        concurrency: int = DEFAULT_CONCURRENCY,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._timeout_s, self._retries = timeout_s, retries
        self._turn = asyncio.Semaphore(concurrency)
        self._http = httpx.AsyncClient(
            base_url=_checked(url),
            headers=_headers(api_key),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=concurrency),
            transport=transport,
        )

    async def analyze(self, photo: Photo, **options: Unpack[Options]) -> Analysis:
        """As ``Client.analyze``."""
        return (await self.analyze_many([photo], **options))[0]

    async def analyze_many(self, photos: Sequence[Photo], **options: Unpack[Options]) -> list[Analysis]:
        """As ``Client.analyze_many``."""
        return read_answer(await self.ask(photos, **options))

    async def ask(self, photos: Sequence[Photo], **options: Unpack[Options]) -> dict[str, Any]:
        """As ``Client.ask``."""
        async with self._turn:
            form = await asyncio.to_thread(_form, photos, options)  # reads files and may encode pixels

            def build(left: float) -> httpx.Request:
                return self._http.build_request("POST", "analyze", **form(left))

            return await self._exchange(build, options.get("timeout_s", self._timeout_s))

    async def models(self) -> list[dict[str, Any]]:
        """As ``Client.models``."""
        return _cards(await self._exchange(lambda left: self._http.build_request("GET", "models"), self._timeout_s))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _exchange(self, build: Build, timeout_s: float) -> dict[str, Any]:
        attempts = Attempts(timeout_s, self._retries)
        while True:
            try:
                return _content(await self._send(build(attempts.remaining()), attempts))
            except MaskgraphError as error:
                pause = attempts.pause(error)
            await asyncio.sleep(pause)

    async def _send(self, request: httpx.Request, attempts: Attempts) -> httpx.Response:
        request.extensions["timeout"] = attempts.timeout().as_dict()
        try:
            async with asyncio.timeout(attempts.remaining()):
                return await self._http.send(request)
        except TimeoutError as error:
            raise attempts.exceeded() from error
        except httpx.TransportError as error:
            raise from_transport(error, str(self._http.base_url)) from error


class _Bounded(httpx.SyncByteStream):
    """A body that is sent or comes in until the deadline: httpx itself bounds each read and write only."""

    def __init__(self, stream: httpx.SyncByteStream | httpx.AsyncByteStream, attempts: Attempts) -> None:
        assert isinstance(stream, httpx.SyncByteStream)
        self._stream = stream
        self._attempts = attempts

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            self._attempts.remaining()
            yield chunk

    def close(self) -> None:
        self._stream.close()


def _form(photos: Sequence[Photo], options: Options) -> Callable[[float], dict[str, Any]]:
    """The form and query of a question, as httpx takes them, for an attempt that has so many seconds."""
    if is_photo(photos):  # text and pixels would be taken apart
        raise TypeError("several photos come as a list; analyze takes one")
    if not photos:
        raise ValueError("there is no photo to analyse")
    asked = query(options)
    files = [("image", photo_file(photo, options.get("colors"))) for photo in photos]
    # The service gives up when the client does, instead of answering nobody.
    return lambda left: {"files": files, "params": asked | {"timeout_s": f"{left:.3f}"}}


def _content(response: httpx.Response) -> dict[str, Any]:
    if response.status_code != 200:
        raise from_response(response)
    try:
        content = response.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        where = response.url.copy_with(query=None)
        raise ServiceFault(f"what answers at {where} is not Maskgraph", "not_maskgraph", status=200)
    return content


def _cards(content: dict[str, Any]) -> list[dict[str, Any]]:
    cards = content.get("models")
    if not isinstance(cards, list):
        raise ServiceFault("this service does not list its models: it is not Maskgraph", "not_maskgraph", status=200)
    return cards


def _checked(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"the service's URL begins with http:// or https://, unlike {url!r}")
    return url


def _headers(api_key: str | None) -> dict[bytes, bytes]:
    return {} if api_key is None else {b"X-API-Key": api_key.encode()}
