"""The bars of timing."""

import pytest
from playwright.sync_api import Page

from tests.serve_app.web.conftest import lines, photo, upload


def test_timing_is_of_the_answer(page: Page) -> None:
    upload(page, photo())
    lines(page)
    told = " ".join(page.inner_text("#timing").split())
    assert "Faces and masks queue 1.3 ms, run 7.5 ms" in told
    assert "Decode" in told
    assert "Write and send" in told
    widths = page.locator("#timing .time-bar > *").evaluate_all("parts => parts.map((part) => part.offsetWidth)")
    assert sum(widths) == pytest.approx(page.locator(".time-bar").evaluate("bar => bar.clientWidth"), abs=4)
