"""The API's documentation tries the API."""

from playwright.sync_api import expect

from tests.browser import Open
from tests.serve_app.web.conftest import photo


def test_try_it(opened: Open, service: str) -> None:
    with opened(f"{service}/docs") as page:
        page.set_input_files(".try [name=image]", photo(400, 300))
        page.click("summary:has-text('Options')")
        page.fill("[name='instance_segmentation.score_threshold']", "0.92")
        page.select_option("[name=masks]", "polygon")
        page.click(".try button:has-text('Send') >> nth=0")
        expect(page.locator(".try .line")).to_have_count(2)
        outline = "M40 30L160 30L160 270L40 270ZM80 180L80 225L120 225L120 180Z"
        expect(page.locator(".try .overlay .region")).to_have_attribute("d", outline)
        told = page.locator(".outcome pre").all_inner_texts()
        assert "-F instance_segmentation.score_threshold=0.92" in told[0]
        assert '"exterior"' in told[1]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_try_it_with_a_sample_and_a_wrong_option(opened: Open, service: str) -> None:
    with opened(f"{service}/docs", viewport={"width": 390, "height": 844}) as page:
        page.click("[name=sample]")
        expect(page.locator(".try .line")).to_have_count(3)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.click("summary:has-text('Options')")
        page.fill("[name=classes]", "unicorn")
        page.click("[name=sample]")
        expect(page.locator(".notice.problem")).to_contain_text("unknown class 'unicorn'")


def test_without_a_photo_it_asks_for_one(opened: Open, service: str) -> None:
    with opened(f"{service}/docs") as page:
        page.click(".try button:has-text('Send') >> nth=0")
        expect(page.locator(".notice.problem")).to_have_text("Choose a photo first")
