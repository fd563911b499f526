"""The ways of a photo into the page."""

from io import BytesIO

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.serve_app.web.conftest import GREY, SceneBranch, lines, photo, pixels, upload
from tests.serve_app.web.looks import EVERYBODY, FIRST_COLOR, at, fill, near


def test_drop_and_paste(page: Page) -> None:
    files = """async (kind) => {
        const canvas = new OffscreenCanvas(64, 48);
        canvas.getContext("2d").fillRect(0, 0, 64, 48);
        const carried = new DataTransfer();
        carried.items.add(new File([await canvas.convertToBlob()], `${kind}.png`, { type: "image/png" }));
        if (kind === "pasted") {
            document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: carried, bubbles: true }));
            return null;
        }
        document.body.dispatchEvent(new DragEvent("dragenter", { dataTransfer: carried, bubbles: true }));
        const veiled = !document.querySelector("#dropping").hidden;
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true }));
        return veiled && document.querySelector("#dropping").hidden;
    }"""
    assert page.evaluate(files, "dropped") is True
    expect(page.locator("#photo-name")).to_have_text("dropped.png")
    assert lines(page) == EVERYBODY
    page.evaluate(files, "pasted")
    expect(page.locator("#photo-name")).to_have_text("pasted.png")
    expect(page.locator(".thumb.done")).to_have_count(2)


def test_the_camera_takes_a_photo(page: Page, faces: SceneBranch) -> None:
    page.click(".start [data-do=camera]")
    shoot = page.locator("[data-do=shoot]")
    expect(shoot).to_be_enabled()
    shoot.click()
    assert lines(page) == EVERYBODY
    expect(page.locator("#photo-name")).to_have_text("camera.jpg")
    assert page.evaluate("document.querySelector('#camera video').srcObject") is None, "the camera is off again"
    assert faces.images[0].shape[2] == 3


def test_twelve_megapixels(page: Page) -> None:
    upload(page, photo(4000, 3000, "JPEG"))
    assert lines(page) == EVERYBODY
    page.uncheck("[name=layer-labels]")
    page.mouse.move(0, 0)
    seen = pixels(page)
    assert near(at(seen, 0.15, 0.5), fill(FIRST_COLOR))
    assert near(at(seen, 0.5, 0.5), GREY)
    assert page.locator(".overlay").get_attribute("viewBox") == "0 0 4000 3000"
    box = page.locator(".subject[data-title='Person 1'] .region").evaluate(
        "path => { const { x, y, width, height } = path.getBBox(); return [x, y, width, height] }"
    )
    assert box == [400, 300, 1200, 2400]


def test_a_file_that_the_browser_cannot_show_is_answered_all_the_same(page: Page) -> None:
    upload(page, photo(format="TIFF"))
    assert lines(page) == EVERYBODY
    expect(page.locator(".unshowable")).to_be_visible()
    frame = page.locator(".frame").bounding_box()
    assert frame
    assert frame["width"] / frame["height"] == pytest.approx(320 / 240, rel=0.02)


def test_an_upright_photo_stays_so(page: Page) -> None:
    """A camera's EXIF orientation is followed by service and browser alike."""
    file, exif = BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (320, 240), GREY).save(file, "JPEG", exif=exif)
    upload(page, {"name": "turned.jpg", "mimeType": "image/jpeg", "buffer": file.getvalue()})
    lines(page)
    assert page.locator(".overlay").get_attribute("viewBox") == "0 0 240 320"
    assert page.evaluate("document.querySelector('.frame img').naturalWidth") == 240
