import httpx
import pytest


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/models", "/", "/docs", "/openapi.json"])
async def test_head_is_get_without_the_body(client: httpx.AsyncClient, path: str) -> None:
    got, headed = await client.get(path), await client.head(path)
    assert headed.status_code == got.status_code == 200
    assert headed.content == b"" != got.content
    for name in ("content-type", "content-length"):
        assert headed.headers[name] == got.headers[name]


async def test_head_is_refused_where_get_is(client: httpx.AsyncClient) -> None:
    answer = await client.head("/analyze")
    assert answer.status_code == 405
    assert answer.content == b""
