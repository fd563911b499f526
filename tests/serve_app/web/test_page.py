"""What the page shows for a photo, and how it is used: by mouse, by keyboard, on a phone."""

import json
import os
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page, expect

from serve_app.http.app import create_app
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.native import routes as native
from tests.browser import Open
from tests.serve_app.protocols.loopback import serving
from tests.serve_app.web.conftest import GREY, SceneBranch, lines, photo, pixels, upload

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


def test_timing_is_of_the_answer(page: Page) -> None:
    upload(page, photo())
    lines(page)
    told = " ".join(page.inner_text("#timing").split())
    assert "Faces and masks queue 1.3 ms, run 7.5 ms" in told
    assert "Decode" in told
    assert "Write and send" in told
    widths = page.locator("#timing .time-bar > *").evaluate_all("parts => parts.map((part) => part.offsetWidth)")
    assert sum(widths) == pytest.approx(page.locator(".time-bar").evaluate("bar => bar.clientWidth"), abs=4)


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_the_copied_curl_command_gives_the_answer_that_is_shown(page: Page, tmp_path: Path) -> None:
    picture = photo(name='it\'s "a" photo; 50%, really')
    (tmp_path / picture["name"]).write_bytes(picture["buffer"])
    upload(page, picture)
    lines(page)
    for threshold in (None, 0.95):
        if threshold:
            set_slider(page, "mask_detection.face_threshold", threshold)
        page.click("#tab-curl")
        command = ["bash", "-c", f"{copied_text(page)} -sS"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, timeout=30)
        assert json.loads(done.stdout)["images"] == shown_json(page)["images"]


def test_the_copied_python_program_runs(page: Page, tmp_path: Path) -> None:
    picture = photo(name="фото")
    (tmp_path / picture["name"]).write_bytes(picture["buffer"])
    upload(page, picture)
    lines(page)
    page.click("#tab-python")
    program = copied_text(page)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, check=True, text=True, timeout=60,
        env=os.environ | {"PYTHONUTF8": "1"},
    )  # fmt: skip
    assert [line.split(" {")[0] for line in done.stdout.splitlines()] == ["MASK 0.9876", "NO MASK 0.9543"]


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
