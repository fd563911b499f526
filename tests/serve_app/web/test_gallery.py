"""Several photos at once."""

from playwright.sync_api import Page, expect

from tests.serve_app.web.conftest import SceneBranch, lines, photo, upload


def test_twenty_photos(page: Page, faces: SceneBranch) -> None:
    upload(page, *(photo(200 + 10 * number, 150, name=f"photo-{number}") for number in range(20)))
    expect(page.locator(".thumb")).to_have_count(20)
    expect(page.locator(".thumb.done")).to_have_count(20)
    assert len(faces.calls) == 20
    assert faces.most_ongoing <= 3, "the page leaves room for others"
    marks = page.locator(".thumb .marks").all_inner_texts()
    assert [text.split() for text in marks] == [["1", "1"]] * 20
    sizes = set()
    for number in range(20):
        page.click(f".thumb >> nth={number}")
        expect(page.locator("#photo-name")).to_have_text(f"photo-{number}.png")
        sizes.add(page.locator(".overlay").get_attribute("viewBox"))
    assert sizes == {f"0 0 {200 + 10 * number} 150" for number in range(20)}
    assert len(faces.calls) == 20, "what is known is not asked again"


def test_the_arrow_keys_go_from_photo_to_photo(page: Page) -> None:
    upload(page, *(photo(name=name) for name in "abc"))
    expect(page.locator(".thumb.done")).to_have_count(3)
    assert page.locator(".thumb").evaluate_all("all => all.map((thumb) => thumb.ariaLabel)") == [
        f"{name}.png: 2 people, 1 with a mask, 1 without" for name in "abc"
    ]
    page.focus(".thumb >> nth=0")
    for key, name in (("ArrowRight", "b"), ("End", "c"), ("ArrowRight", "c"), ("ArrowLeft", "b"), ("Home", "a")):
        page.keyboard.press(key)
        expect(page.locator("#photo-name")).to_have_text(f"{name}.png")
        expect(page.locator(".thumb[aria-current=true]")).to_be_focused()


def test_a_form_of_masks_is_asked_for_once_a_photo_and_only_when_it_is_looked_at(
    page: Page, faces: SceneBranch
) -> None:
    upload(page, photo(name="a"), photo(name="b"))
    expect(page.locator(".thumb.done")).to_have_count(2)
    page.select_option("[name=masks]", "none")
    expect(page.locator(".region")).to_have_count(0)
    lines(page)
    assert len(faces.calls) == 3
    page.click(".thumb >> nth=1")
    expect(page.locator(".region")).to_have_count(0)
    assert lines(page)[0] == "Person 1, 95%: Mask, 99%", "without masks the service's own ties stand"
    assert len(faces.calls) == 4
    assert "-F masks=none" in page.inner_text("#code-text")


def test_a_slider_moves_every_photos_count(page: Page) -> None:
    upload(page, photo(name="a"), photo(name="b"))
    expect(page.locator(".thumb.done")).to_have_count(2)
    page.focus("[name='mask_detection.face_threshold']")
    page.keyboard.press("End")
    expect(page.locator(".thumb .marks span")).to_have_count(0)
