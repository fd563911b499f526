"""Makes the README's picture of the page, docs/page.webp: ``python docs/page_picture.py [URL]`` while the service runs.

It drives the system's chromium, as the page's tests do.
"""

import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).with_name("page.webp")
SIZE = {"width": 1280, "height": 830}


def main(url: str = "http://127.0.0.1:8000/") -> None:
    """Open the page, send its first sample, wait for the answer, take the picture."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport=SIZE, device_scale_factor=2, color_scheme="light")
        page.goto(url)
        for _ in range(2):  # the first answer of a photo's shape takes longer than later ones
            page.click("[data-sample='together.jpg']")
            page.locator(".line").nth(1).wait_for(timeout=60_000)
            page.wait_for_timeout(500)
            taken = page.screenshot()
            page.click("[data-do=clear]")
        browser.close()
    Image.open(BytesIO(taken)).convert("RGB").save(PICTURE, quality=80, method=6)
    print(PICTURE, PICTURE.stat().st_size)


if __name__ == "__main__":
    main(*sys.argv[1:])
