"""What the page shows for a photo, and how it is used: by mouse, by keyboard, on a phone."""

import httpx
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from serve_app.http.app import create_app
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.native import routes as native
from tests.browser import Open
from tests.serve_app.protocols.loopback import serving
from tests.serve_app.web.conftest import GREY, lines, photo, pixels, upload
from tests.serve_app.web.looks import EVERYBODY, FIRST_COLOR, at, fill, near, set_slider, shown_json


@pytest.mark.parametrize("form", ["rle", "polygon", "png"])
def test_overlays_lie_where_the_answer_says(page: Page, form: str) -> None:
    upload(page, photo(640, 480))
    assert lines(page) == EVERYBODY
    if form != "rle":
        with page.expect_response("**/analyze"):
            page.select_option("[name=masks]", form)
        assert lines(page) == EVERYBODY
    page.uncheck("[name=layer-labels]")
    page.mouse.move(0, 0)
    seen = pixels(page)
    assert abs(seen.shape[1] / seen.shape[0] - 640 / 480) < 0.01
    assert near(at(seen, 0.15, 0.5), fill(FIRST_COLOR))  # inside the first person
    assert near(at(seen, 0.25, 0.68), GREY)  # in the hole
    assert near(at(seen, 0.5, 0.5), GREY)  # between the two
    assert near(at(seen, 0.85 + 0.02, 0.5), GREY)  # right of the second
    for x, edge in ((0.1, "left"), (0.4, "right")):
        strip = seen[round(0.5 * seen.shape[0]), round(x * seen.shape[1]) - 4 : round(x * seen.shape[1]) + 4]
        assert min(np.abs(strip.astype(int) - FIRST_COLOR).max(axis=1)) < 24, f"no outline on the {edge}"
    green, red = at(seen, 0.2, 0.25), at(seen, 0.65, 0.35)
    assert green[1] > green[0] + 60, "the masked face's box is green"
    assert red[0] > red[1] + 60, "the bare face's box is red"


def test_layers_are_switched_off(page: Page) -> None:
    upload(page, photo())
    lines(page)
    for layer in ("outlines", "boxes", "labels"):
        page.uncheck(f"[name=layer-{layer}]")
    page.mouse.move(0, 0)
    seen = pixels(page)[20:-20, 20:-20]  # without the stage's round corners
    assert np.abs(seen.astype(int) - GREY).max() <= 2


def test_the_summary_says_who_wears_a_mask(page: Page) -> None:
    upload(page, photo())
    lines(page)
    expect(page.locator("#summary")).to_have_text("2 people1 with a mask, 1 without")
    expect(page.locator(".frame img")).to_have_attribute("alt", "photo.png: 2 people, 1 with a mask, 1 without")
    expect(page.locator("#summary")).to_have_attribute("aria-live", "polite")


def test_sliders_filter_without_a_request_as_the_service_would(page: Page, service: str) -> None:
    picture = photo()
    upload(page, picture)
    lines(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for face, score in ((None, None), (0.2, 0.2), (0.2, 0.5), (0.95, 0.2), (0.3, 0.92), (1.0, 0.96)):
        options = {}
        if face is not None:
            options = {"mask_detection.face_threshold": face, "instance_segmentation.score_threshold": score}
        for name, value in options.items():
            set_slider(page, name, value)
        seen = shown_json(page)
        files = {"image": (picture["name"], picture["buffer"])}
        answer = httpx.post(f"{service}/analyze", data=options, files=files).json()
        assert seen["images"] == answer["images"], f"at {options}"
    assert asked == []


def test_a_doubtful_person_does_not_take_the_face_of_one_who_is_sure(page: Page) -> None:
    """At 0.2 the smaller, doubtful person holds the face; above, it is the sure one's again."""
    upload(page, photo())
    assert lines(page) == EVERYBODY
    set_slider(page, "instance_segmentation.score_threshold", 0.2)
    assert lines(page) == [
        "Person 1, 95%: Mask, 99%",
        "Person 2, 90%: Face not seen",
        "Person 3, 25%: No mask, 95%",
        "Chair 1, 80%",
        "Cup 1, 40%",
    ]
    page.click(".usual:visible")
    assert lines(page) == EVERYBODY, "the cup has a threshold of its own kind again"


def test_tasks_are_switched_off_and_one_stays(page: Page) -> None:
    upload(page, photo())
    lines(page)
    page.uncheck("[name=instance_segmentation]")
    assert lines(page) == ["Face 1, 97%: Mask, 99%", "Face 2, 93%: No mask, 95%"]
    assert "-F tasks=mask_detection" in page.inner_text("#code-text")
    page.locator("[name=mask_detection]").click()
    assert page.is_checked("[name=mask_detection]"), "a request asks for one task at least"
    page.check("[name=instance_segmentation]")
    page.uncheck("[name=mask_detection]")
    assert lines(page) == ["Person 1, 95%", "Person 2, 90%", "Chair 1, 80%"]
    assert shown_json(page)["images"][0]["faces"] == []


def test_pointing_at_somebody_shows_them_with_their_face(page: Page) -> None:
    upload(page, photo(640, 480))
    lines(page)
    frame = page.locator(".frame").bounding_box()
    assert frame
    page.mouse.move(frame["x"] + 0.15 * frame["width"], frame["y"] + 0.5 * frame["height"])
    expect(page.locator(".line.active")).to_have_text(["Person 195%Mask99%"])
    expect(page.locator(".subject.active")).to_have_attribute("data-title", "Person 1")
    assert page.locator(".subject.active .region, .subject.active .face").count() == 2
    page.hover(".line >> nth=1")
    expect(page.locator(".subject.active")).to_have_attribute("data-title", "Person 2")
    page.wait_for_timeout(300)
    faded = pixels(page)
    assert near(at(faded, 0.15, 0.5), tuple(GREY[i] + 0.16 * (fill(FIRST_COLOR)[i] - GREY[i]) for i in range(3)))
    page.mouse.move(0, 0)
    expect(page.locator(".active")).to_have_count(0)


def test_the_keyboard_is_enough(page: Page) -> None:
    def tab_to(selector: str) -> None:
        for _ in range(60):
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"the focus does not come to {selector}")

    tab_to("[data-sample='bare.jpg']")
    page.keyboard.press("Enter")
    assert lines(page) == EVERYBODY
    expect(page.locator("#photo-name")).to_be_focused()
    tab_to(".line[data-subject='1']")
    expect(page.locator(".subject.active")).to_have_attribute("data-title", "Person 2")
    tab_to("[name='instance_segmentation.score_threshold']")
    page.keyboard.press("End")
    expect(page.locator(".line")).to_have_count(2)
    tab_to("[name=mask_detection], .usual")
    tab_to("[name=layer-boxes]")
    page.keyboard.press("Space")
    assert not page.is_checked("[name=layer-boxes]")
    tab_to("#tab-curl")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tab-python")).to_be_focused()
    assert page.inner_text("#code-text").startswith("import httpx")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#tab-json")).to_have_attribute("aria-selected", "true")
    assert page.inner_text("#code-text").startswith("{")


def test_a_phone_needs_no_sideways_scrolling(opened: Open, service: str) -> None:
    with opened(f"{service}/", viewport={"width": 390, "height": 844}, has_touch=True) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.tap("[data-sample='together.jpg']")
        assert lines(page) == EVERYBODY
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        order = [page.locator(each).bounding_box() for each in (".stage", ".panel", ".timing", ".code")]
        tops = [box["y"] for box in order if box]
        assert tops == sorted(tops)
        assert len(tops) == 4
        for box in (page.locator(each).first.bounding_box() for each in (".result button", ".line", ".tabs button")):
            assert box
            assert box["height"] >= 32
        page.tap(".line >> nth=1")
        expect(page.locator(".subject.active")).to_have_attribute("data-title", "Person 2")


def test_dark_where_the_reader_has_it_dark(opened: Open, service: str) -> None:
    for scheme, dark in (("light", False), ("dark", True)):
        with opened(f"{service}/", color_scheme=scheme) as page:
            color = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (sum(int(part) for part in color[4:-1].split(",")) < 150) is dark


def test_clearing_leads_back_to_the_start(page: Page) -> None:
    upload(page, photo())
    lines(page)
    page.click("[data-do=clear]")
    expect(page.locator("#start")).to_be_visible()
    expect(page.locator("#result")).to_be_hidden()


def test_what_the_policy_forbids_does_not_happen_and_is_noticed(opened: Open, service: str) -> None:
    def picture_from_elsewhere() -> None:
        with opened(f"{service}/") as page, page.expect_console_message():
            page.evaluate("void (new Image().src = 'http://127.0.0.1:1/picture.png')")

    with pytest.raises(AssertionError, match="Content Security Policy"):
        picture_from_elsewhere()


def test_a_third_model_has_its_own_controls(opened: Open, pipeline_of_three: Pipeline, limits: Limits) -> None:
    with serving(create_app(pipeline_of_three, limits, [native.routes], frozenset())) as url, opened(f"{url}/") as page:
        upload(page, photo(64, 48))
        assert lines(page)[-2:] == ["Bottle 1, 88%", "Cup 1, 75%"]
        assert page.locator(".subject[data-title='Bottle 1'] .box").get_attribute("width") == "16"
        assert "Objects queue 1.3 ms" in " ".join(page.inner_text("#timing").split())
        set_slider(page, "object_detection.score_threshold", 0.8)
        assert lines(page)[-1] == "Bottle 1, 88%"
        assert "-F object_detection.score_threshold=0.8" in page.inner_text("#code-text")
        page.uncheck("[name=object_detection]")
        assert lines(page) == EVERYBODY
        assert "objects" not in shown_json(page)["images"][0]


def test_names_are_text(page: Page) -> None:
    upload(page, photo(name="<img src=x onerror=alert(1)>"))
    lines(page)
    expect(page.locator("#photo-name")).to_have_text("<img src=x onerror=alert(1)>.png")
