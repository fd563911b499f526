from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from serve_app.client import AsyncClient, Client
from tests.serve_app.protocols.loopback import serving

Answering = Callable[[Callable[[httpx.Request], httpx.Response]], Client]


@pytest.fixture
def blocking(app: FastAPI) -> Iterator[Client]:
    """A client of the application over branches that answer what a test sets."""
    with serving(app) as url, Client(url, retries=0) as client:
        yield client


@pytest.fixture
async def awaited(app: FastAPI) -> AsyncIterator[AsyncClient]:
    async with AsyncClient("http://test", retries=0, transport=httpx.ASGITransport(app)) as client:
        yield client


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that a client would have waited."""
    waited: list[float] = []
    monkeypatch.setattr("serve_app.client.client.time.sleep", waited.append)

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("serve_app.client.client.asyncio.sleep", sleep)
    return waited


def refusal(status: int, **headers: str) -> httpx.Response:
    """An error in the service's form."""
    content = {"error": {"code": f"code_{status}", "message": f"message of {status}", "image": 2}}
    return httpx.Response(status, json=content, headers={"X-Request-ID": "me", **headers})


EMPTY: dict[str, Any] = {
    "images": [
        {
            "id": 1,
            "name": None,
            "width": 3,
            "height": 2,
            "faces": [],
            "instances": [],
            "people": [],
            "errors": [],
        }
    ],
    "models": {},
    "request_id": "me",
    "timing_ms": {"total": 1.0},
}
"""An answer about one photo that shows nothing."""
