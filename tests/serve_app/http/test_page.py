"""How the page and its files are served."""

import re
from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI

from serve_app.api_keys import ApiKeys
from serve_app.http.app import create_app
from serve_app.http.page import FILES, FOLDER, PATHS
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.native import routes as native
from tests.serve_app.conftest import client_of

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"}


async def test_browsers_get_the_page(client: httpx.AsyncClient) -> None:
    answer = await client.get("/", headers=BROWSER)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.content == (FOLDER / "index.html").read_bytes()
    assert answer.headers["vary"] == "Accept"


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "application/json, text/html", "image/png", ""])
async def test_programs_get_json(client: httpx.AsyncClient, limits: Limits, accept: str | None) -> None:
    answer = await client.get("/", headers={} if accept is None else {"Accept": accept})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["vary"] == "Accept"
    assert answer.json()["status"] == "alive"
    assert answer.json()["limits"] == {
        "max_body_bytes": limits.max_body_bytes,
        "max_images": limits.max_images,
        "max_pixels": limits.max_pixels,
    }


async def test_every_file_is_served_under_a_strict_policy(client: httpx.AsyncClient) -> None:
    assert {"/web/app.js", "/web/style.css", "/web/samples/together.jpg"} <= PATHS
    for path in PATHS:
        answer = await client.get(path)
        assert answer.status_code == 200
        assert answer.content == (FOLDER / path.removeprefix("/web/")).read_bytes()
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert "http" not in policy


async def test_a_file_that_is_known_is_not_sent_again(client: httpx.AsyncClient) -> None:
    for path in ("/", "/web/app.js"):
        first = await client.get(path, headers=BROWSER)
        assert first.headers["cache-control"] == "no-cache"
        again = await client.get(path, headers=BROWSER | {"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        other = await client.get(path, headers=BROWSER | {"If-None-Match": '"another"'})
        assert other.content == first.content


@pytest.mark.parametrize(
    "path",
    ["/web", "/web/", "/web/index.html", "/web/nope.js", "/web/..%2Fapp.py", "/web/%2e%2e/app.py", "/web/samples"],
)
async def test_nothing_else_is(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404


async def test_the_page_names_only_files_that_are_served(client: httpx.AsyncClient) -> None:
    html = (await client.get("/", headers=BROWSER)).text
    named = re.findall(r'(?:src|href)="(?!#|\./|docs)([^"]*)"', html)
    assert len(named) >= 6
    assert {f"/{path}" for path in named} <= PATHS
    for path in (name for name in FILES if name.endswith(".js")):
        imported = re.findall(r'from "\./([^"]*)"', FILES[path].content.decode())
        assert {f"/web/{name}" for name in imported} <= PATHS


def test_the_page_is_small() -> None:
    sizes = {name: len(file.content) for name, file in FILES.items()}
    assert sum(size for name, size in sizes.items() if not name.startswith("samples/")) < 100_000
    samples = [size for name, size in sizes.items() if name.startswith("samples/")]
    assert len(samples) == 3
    assert max(samples) < 60_000


async def test_the_page_needs_no_key_but_its_answers_do(pipeline: Pipeline, limits: Limits) -> None:
    async with client_of(create_app(pipeline, limits, [native.routes], ApiKeys.of("key"))) as client:
        for path in ("/", *PATHS):
            assert (await client.get(path, headers=BROWSER)).status_code == 200
        for path in ("/models", "/docs", "/web/nope.js"):
            assert (await client.get(path, headers=BROWSER)).status_code == 401
        assert (await client.post("/analyze")).status_code == 401


async def test_below_a_prefix_the_page_ends_in_a_slash(make_pipeline: Callable[..., Pipeline], limits: Limits) -> None:
    """Its files are named from where it lies."""
    app: FastAPI = create_app(make_pipeline(), limits, [native.routes], frozenset())
    transport = httpx.ASGITransport(app, root_path="/one/photos")
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/one/photos", headers=BROWSER)
        assert answer.is_redirect
        assert answer.next_request is not None
        assert answer.next_request.url == "http://test/one/photos/"
        assert (await client.get("/one/photos/", headers=BROWSER)).headers["content-type"].startswith("text/html")
        assert (await client.get("/one/photos/web/app.js")).status_code == 200
        assert (await client.get("/one/photos")).json()["status"] == "alive"
