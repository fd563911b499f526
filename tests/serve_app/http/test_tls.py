"""HTTPS by ``http_options``, in the server that Serve's proxies run, with our gate before it."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import trustme
from ray.serve._private.http_util import start_asgi_http_server
from ray.serve.config import HTTPOptions
from starlette.responses import PlainTextResponse

from serve_app.http.gate import Gate
from serve_app.refusals import write_refusal
from tests.ports import free_port


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def port(authority: trustme.CA, tmp_path: Path) -> AsyncIterator[int]:
    """Where a server speaks TLS, with a certificate for 127.0.0.1."""
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    for blob in issued.cert_chain_pems:
        blob.write_to_path(tmp_path / "certificate.pem", append=True)
    options = HTTPOptions(
        host="127.0.0.1",
        port=free_port(),
        ssl_certfile=str(tmp_path / "certificate.pem"),
        ssl_keyfile=str(tmp_path / "key.pem"),
    )
    app = Gate(PlainTextResponse("behind the gate"), write_refusal)
    serving, server = await start_asgi_http_server(app, options, event_loop=asyncio.get_running_loop())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    yield options.port
    server.should_exit = True
    await serving


async def get(url: str, trusted: trustme.CA) -> httpx.Response:
    context = ssl.create_default_context()
    trusted.configure_trust(context)
    async with httpx.AsyncClient(verify=context, trust_env=False) as client:
        return await client.get(url)


async def test_who_trusts_the_authority_is_answered(port: int, authority: trustme.CA) -> None:
    assert (await get(f"https://127.0.0.1:{port}/", authority)).text == "behind the gate"
    assert (await get(f"https://127.0.0.1:{port}/livez", authority)).json() == {"live": True}


async def test_another_authoritys_certificate_would_be_noticed(port: int) -> None:
    with pytest.raises(httpx.ConnectError, match="certificate"):
        await get(f"https://127.0.0.1:{port}/", trustme.CA())


async def test_nothing_is_answered_in_the_clear(port: int, authority: trustme.CA) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await get(f"http://127.0.0.1:{port}/", authority)


def test_half_a_pair_of_files_stops_the_start() -> None:
    with pytest.raises(ValueError, match="ssl_keyfile"):
        HTTPOptions(ssl_certfile="certificate.pem")
