"""What goes wrong is said in words, by the photo's name, and what can be done about it is offered."""

import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from serve_app.api_keys import ApiKeys
from serve_app.http.app import create_app
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.native import routes as native
from tests.browser import Open
from tests.serve_app.protocols.loopback import serving
from tests.serve_app.web.conftest import SceneBranch, lines, photo, upload


def problem(page: Page) -> str:
    """The notice, in one line."""
    return " ".join(page.locator("#summary .notice.problem").inner_text().split())


def test_a_file_that_is_no_picture_is_named(page: Page) -> None:
    upload(page, {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"Buy milk."})
    assert problem(page).startswith("notes.txt is not a kind of picture that the service reads")
    assert page.locator("#summary button").count() == 0, "the same file would be refused again"


def test_a_broken_picture_is_named_and_harms_no_other(page: Page) -> None:
    broken = photo(format="JPEG", name="broken")
    broken["buffer"] = broken["buffer"][:300]
    upload(page, broken, photo(name="good"))
    assert problem(page).startswith("broken.jpeg cannot be read as a picture")
    expect(page.locator(".thumb.failed")).to_have_count(1)
    page.click(".thumb.done")
    assert lines(page)[0].startswith("Person 1")


def test_an_overload_is_waited_out(page: Page, faces: SceneBranch, instances: SceneBranch) -> None:
    faces.fail("overloaded")
    instances.fail("overloaded")
    upload(page, photo())
    expect(page.locator("#summary")).to_contain_text("The service is busy")
    expect(page.locator("#summary")).to_contain_text("Trying again in 1 s.")
    faces.failure = instances.failure = None
    assert lines(page)[0].startswith("Person 1")


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [(503, "overloaded", "The service is busy"), (429, "too_many_requests", "This API key has used up its share")],
)
def test_the_wait_is_that_of_retry_after(page: Page, status: int, code: str, words: str) -> None:
    def refuse(route: Route) -> None:
        error = {"error": {"code": code, "message": "-"}}
        route.fulfill(status=status, headers={"Retry-After": "42"}, json=error)

    page.route("**/analyze", refuse)
    upload(page, photo())
    expect(page.locator("#summary")).to_contain_text(words)
    expect(page.locator("#summary")).to_contain_text("Trying again in 42 s.")
    expect(page.locator("#summary")).to_contain_text("Trying again in 41 s.")
    page.unroute("**/analyze")
    page.click("#summary button:has-text('Try again')")
    assert lines(page)[0].startswith("Person 1")


def test_one_model_down_leaves_the_others_answer(page: Page, faces: SceneBranch) -> None:
    faces.fail("unavailable")
    upload(page, photo())
    assert lines(page) == ["Person 1, 95%", "Person 2, 90%", "Chair 1, 80%"]
    assert problem(page) == "Faces and masks: no answer mask_detection is unavailable"


@pytest.mark.parametrize(
    ("code", "words"),
    [("deadline_exceeded", "The answer for photo.png took longer than allowed"), ("internal", "The service failed on")],
)
def test_failures_of_both_models(page: Page, faces: SceneBranch, instances: SceneBranch, code: str, words: str) -> None:
    faces.fail(code)
    instances.fail(code)
    upload(page, photo())
    assert problem(page).startswith(words)
    faces.failure = instances.failure = None
    page.click("#summary button:has-text('Try again')")
    assert lines(page)[0].startswith("Person 1")


def test_too_large_a_file_is_not_even_sent(page: Page) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    upload(page, {"name": "huge.bmp", "mimeType": "image/bmp", "buffer": bytes(5_000_000)})
    assert problem(page) == (
        "huge.bmp is a larger file than the service takes It has 5 MB; the limit is 4 MB a request."
    )
    assert sent == []


def test_too_many_pixels(page: Page) -> None:
    upload(page, photo(5000, 4001, name="poster"))
    told = problem(page)
    assert told.startswith("poster.png has more pixels than the service takes")
    assert "20,000,000" in told


def test_a_service_that_is_gone(page: Page) -> None:
    page.route("**/analyze", lambda route: route.abort())
    upload(page, photo())
    assert problem(page).startswith("The service cannot be reached")
    page.unroute("**/analyze")
    page.click("#summary button:has-text('Try again')")
    assert lines(page)[0].startswith("Person 1")


@pytest.mark.parametrize(
    ("status", "words"), [(502, "The models cannot answer right now"), (408, "The answer for photo.png took longer")]
)
def test_an_error_of_a_proxy_that_is_no_json(page: Page, status: int, words: str) -> None:
    page.route("**/analyze", lambda route: route.fulfill(status=status, body="<html>Bad Gateway</html>"))
    upload(page, photo())
    assert problem(page).startswith(words)


def test_an_answer_that_is_no_json(page: Page) -> None:
    page.route("**/analyze", lambda route: route.fulfill(status=200, body="<html>Log in to the WiFi</html>"))
    upload(page, photo())
    assert problem(page).startswith("The answer could not be read")


def test_a_service_without_its_own_api(opened: Open, pipeline: Pipeline, limits: Limits) -> None:
    with serving(create_app(pipeline, limits, [], frozenset())) as url, opened(f"{url}/") as page:
        upload(page, photo())
        assert problem(page).startswith("This service does not offer the API that the page needs")


def test_a_photo_that_comes_before_the_service_is_known_waits(page: Page, service: str) -> None:
    """The cards come late, and the photo is asked about with their thresholds nevertheless."""

    def slow(route: Route) -> None:
        threading.Event().wait(0.5)
        route.continue_()

    page.route("**/models", slow)
    page.goto(f"{service}/")
    upload(page, photo())
    assert lines(page)[0].startswith("Person 1")


@pytest.fixture
def locked(pipeline: Pipeline, limits: Limits) -> Iterator[str]:
    with serving(create_app(pipeline, limits, [native.routes], ApiKeys.of("open-sesame"))) as url:
        yield url


def test_an_api_key_is_asked_for(opened: Open, locked: str) -> None:
    with opened(f"{locked}/") as page:
        key = page.get_by_label("API key", exact=True)
        expect(key).to_be_focused()
        key.fill("wrong")
        page.click("text=Use it")
        expect(page.locator("#key .problem")).to_have_text("The service did not take that key.")
        key.fill("open-sesame")
        page.keyboard.press("Enter")
        expect(page.locator("#key")).to_be_hidden()
        page.click("[data-sample='masked.jpg']")
        assert lines(page)[0].startswith("Person 1")
        told = page.inner_text("#code-text")
        assert '-H "X-API-Key: $MASKGRAPH_KEY"' in told
        assert "open-sesame" not in page.content()
        page.click("text=API key")
        expect(page.locator("#key")).to_be_visible()


def test_a_photo_waits_for_the_key(opened: Open, locked: str) -> None:
    with opened(f"{locked}/") as page:
        page.keyboard.press("Escape")
        upload(page, photo())
        expect(page.locator("#key")).to_be_visible()
        page.get_by_label("API key", exact=True).fill("open-sesame")
        page.click("text=Use it")
        assert lines(page)[0].startswith("Person 1")


def test_no_camera(opened: Open, service: str) -> None:
    refused = "async () => { throw new DOMException('-', 'NotAllowedError') }"
    with opened(f"{service}/") as page:
        page.evaluate(f"void (navigator.mediaDevices.getUserMedia = {refused})")
        page.click(".start [data-do=camera]")
        expect(page.locator("#camera .problem")).to_have_text("The browser was not allowed to use the camera.")
        page.click("#camera [data-do=cancel]")
        expect(page.locator("#camera")).to_be_hidden()
