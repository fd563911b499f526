"""A real browser: Debian's Chromium, without a window."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
NETWORK = "Failed to load resource"
"""How the browser notes an answer that is an error, which a test may want."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. A module's own: Playwright's loop would stand in the way of other modules' tests."""
    if CHROMIUM is None:
        pytest.skip("no chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        launched.close()


Open = Callable[..., AbstractContextManager[Page]]


@pytest.fixture
def opened(browser: Browser) -> Open:
    """A function that opens a path in a new window, and watches that the page does nothing wrong."""

    @contextmanager
    def open_page(url: str, **context: Any) -> Iterator[Page]:
        wrong: list[str] = []
        elsewhere: list[str] = []
        context.setdefault("viewport", {"width": 1280, "height": 900})
        window = browser.new_context(**context)
        page = window.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        own = re.match(r"http://[^/]+/", url)
        assert own
        page.on("request", lambda request: None if own_url(request.url, own[0]) else elsewhere.append(request.url))
        page.goto(url)
        yield page
        window.close()
        # A violation of the Content-Security-Policy is an error on the console too.
        wrong = [text for text in wrong if NETWORK not in text]
        assert not wrong, f"the page's console says {wrong}"
        assert not elsewhere, f"the page asked for {elsewhere}"

    return open_page


def own_url(url: str, own: str) -> bool:
    return url.startswith((own, f"blob:{own}", "data:"))
