"""The page in a real browser, served by the real application: its sample photos, found by the embedded models."""

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser import Open, browser, opened

__all__ = ["browser", "opened"]  # fixtures

pytestmark = pytest.mark.serve


def test_the_samples_show_who_wears_a_mask(opened: Open, service: str) -> None:
    with opened(f"{service}/") as page:
        expect(page.locator(".health.ready")).to_contain_text("face_mask")
        for sample, masked, bare in (("masked.jpg", 1, 0), ("bare.jpg", 0, 1), ("together.jpg", 1, 1)):
            page.click(f"[data-sample='{sample}']")
            expect(page.locator(".line").first).to_be_visible(timeout=60_000)
            expect(page.locator(".verdict.mask")).to_have_count(masked)
            expect(page.locator(".verdict.bare")).to_have_count(bare)
            assert page.locator(".overlay .region").count() >= 1
            page.click("[data-do=clear]")


def test_programs_get_json_where_browsers_get_the_page(client: httpx.Client) -> None:
    assert client.get("/").json()["status"] == "alive"
    page = client.get("/", headers={"Accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert client.get("/web/app.js").headers["content-security-policy"] == page.headers["content-security-policy"]
