"""The rules of axe-core (WCAG 2.1 A and AA, and good practice), on the page and the documentation."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser import Open
from tests.serve_app.web.conftest import lines, photo, upload


def violations(page: Page) -> list[str]:
    page.wait_for_timeout(300)  # colours that fade in are measured when they are there
    found = Axe().run(page).response["violations"]
    return [f"{rule['id']}: {node['html'][:200]}" for rule in found for node in rule["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page(opened: Open, service: str, scheme: str) -> None:
    with opened(f"{service}/", color_scheme=scheme) as page:
        expect(page.locator(".health.ready")).to_be_visible()
        assert violations(page) == []
        upload(page, photo(), {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"Buy milk."})
        lines(page)
        expect(page.locator(".thumb.failed")).to_be_visible()
        assert violations(page) == []
        page.click(".thumb.failed")
        assert violations(page) == []


def test_the_documentation(opened: Open, service: str) -> None:
    with opened(f"{service}/docs") as page:
        page.click("summary:has-text('Options')")
        page.click("[name=sample]")
        lines(page)
        assert violations(page) == []


def test_the_rules_are_applied(opened: Open, service: str) -> None:
    with opened(f"{service}/") as page:
        page.evaluate("document.querySelector('.drop button').replaceChildren()")
        assert any(text.startswith("button-name") for text in violations(page))
