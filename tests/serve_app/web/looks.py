"""What the page shows, read back."""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page

from tests.serve_app.web.conftest import GREY

EVERYBODY = ["Person 1, 95%: Mask, 99%", "Person 2, 90%: No mask, 95%", "Chair 1, 80%"]
FIRST_COLOR = (0x40, 0x84, 0xF4)


def at(image: NDArray[np.uint8], x: float, y: float) -> tuple[int, ...]:
    """The pixel at a share of the picture's sides."""
    return tuple(int(value) for value in image[round(y * image.shape[0]), round(x * image.shape[1])])


def near(color: tuple[int, ...], other: tuple[float, ...]) -> bool:
    return max(abs(a - b) for a, b in zip(color, other, strict=True)) <= 4


def fill(color: tuple[int, ...]) -> tuple[float, ...]:
    """The page's tint of a grey photo."""
    return tuple(0.7 * grey + 0.3 * value for grey, value in zip(GREY, color, strict=True))


def set_slider(page: Page, name: str, value: float) -> None:
    page.locator(f"[name='{name}']").evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')) }", value
    )


def shown_json(page: Page) -> dict[str, Any]:
    """The answer that the button copies."""
    page.click("#tab-json")
    copied: dict[str, Any] = json.loads(copied_text(page))
    return copied


def copied_text(page: Page) -> str:
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text }")
    page.click(".code button:has-text('Cop')")
    copied: str = page.evaluate("window.copied")
    return copied
