"""The page in a real browser, over branches that find the same scene in every photo."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page

from deployments.calls import Answer, Call
from deployments.imaging.masks import encode_rle
from deployments.models.card import card_path, read_card
from deployments.results import Box, Face, Instance
from serve_app.http.app import create_app
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.native import routes as native
from tests.browser import Open, browser, opened
from tests.serve_app.conftest import FakeBranch
from tests.serve_app.protocols.loopback import serving

__all__ = ["browser", "opened"]  # fixtures

GREY = (128, 128, 128)
LIMITS = Limits(max_body_bytes=4_000_000, max_images=8, max_pixels=20_000_000)


@dataclass
class SceneBranch(FakeBranch):
    """Finds a scene in proportion to each photo, by the threshold that is asked for, as a model does."""

    scene: Callable[[int, int], Sequence[Any]] = lambda height, width: []
    score: str = "score"
    threshold: str = "score_threshold"
    ongoing: int = 0
    most_ongoing: int = 0

    async def __call__(self, image: NDArray[np.uint8], call: Call) -> Answer:
        found = self.scene(call.height, call.width)
        asked = getattr(call.options, self.threshold)

        def least(label: str) -> float:
            own = self.card.class_thresholds.get(label, self.card.thresholds[self.threshold])
            return own if asked is None else asked

        self.results = [one for one in found if getattr(one, self.score) >= least(one.label)]
        self.ongoing += 1
        self.most_ongoing = max(self.most_ongoing, self.ongoing)
        try:
            await asyncio.sleep(0.02)
            return await super().__call__(image, call)
        finally:
            self.ongoing -= 1


def rectangle(height: int, width: int, box: tuple[float, float, float, float]) -> NDArray[np.bool_]:
    """A mask of the pixels in a box whose sides are shares of the photo's."""
    mask = np.zeros((height, width), bool)
    left, top, right, bottom = box
    mask[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = True
    return mask


def box_of(mask: NDArray[np.bool_]) -> Box:
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    return Box(float(columns[0]), float(rows[0]), float(columns[-1]) + 1, float(rows[-1]) + 1)


def instance(label_id: int, label: str, score: float, mask: NDArray[np.bool_]) -> Instance:
    return Instance(label_id, label, score, box_of(mask), encode_rle(mask), int(mask.sum()))


def people(height: int, width: int) -> list[Instance]:
    """Somebody on the left, whose mask has a hole; somebody on the right; a chair; a cup
    whose score would do for a person; a doubtful person over the right one's face, smaller than them."""
    left = rectangle(height, width, (0.1, 0.1, 0.4, 0.9)) & ~rectangle(height, width, (0.2, 0.6, 0.3, 0.75))
    return [
        instance(0, "person", 0.95, left),
        instance(0, "person", 0.9, rectangle(height, width, (0.55, 0.2, 0.85, 0.95))),
        instance(56, "chair", 0.8, rectangle(height, width, (0.9, 0.7, 0.98, 0.95))),
        instance(41, "cup", 0.4, rectangle(height, width, (0.45, 0.9, 0.5, 0.95))),
        instance(0, "person", 0.25, rectangle(height, width, (0.6, 0.2, 0.8, 0.55))),
    ]


def faces_of(height: int, width: int) -> list[Face]:
    """The left one wears a mask, the right one does not; a doubtful face of nobody."""
    shares = [(0.2, 0.15, 0.3, 0.35), (0.65, 0.25, 0.75, 0.45), (0.45, 0.02, 0.5, 0.1)]
    boxes = [Box(round(a * width), round(b * height), round(c * width), round(d * height)) for a, b, c, d in shares]
    return [
        Face(boxes[0], 0.97, "MASK", 0.9876),
        Face(boxes[1], 0.93, "NO MASK", 0.9543),
        Face(boxes[2], 0.24, "MASK", 0.7),
    ]


@pytest.fixture
def faces() -> SceneBranch:
    card = read_card(card_path("face_mask"))
    return SceneBranch(card, scene=faces_of, score="face_score", threshold="face_threshold")


@pytest.fixture
def instances() -> SceneBranch:
    return SceneBranch(read_card(card_path("solov2_people")), scene=people)


@pytest.fixture
def limits() -> Limits:
    return LIMITS


@pytest.fixture
def app(make_pipeline: Callable[..., Pipeline], limits: Limits) -> FastAPI:
    return create_app(make_pipeline(max_pixels=limits.max_pixels), limits, [native.routes], frozenset())


@pytest.fixture
def service(app: FastAPI) -> Iterator[str]:
    with serving(app) as url:
        yield url


@pytest.fixture
def page(opened: Open, service: str) -> Iterator[Page]:
    with opened(f"{service}/") as page:
        yield page


def photo(width: int = 320, height: int = 240, format: str = "PNG", name: str = "photo") -> dict[str, Any]:
    """A grey picture to be uploaded."""
    file = BytesIO()
    Image.new("RGB", (width, height), GREY).save(file, format)
    return {"name": f"{name}.{format.lower()}", "mimeType": f"image/{format.lower()}", "buffer": file.getvalue()}


def upload(page: Page, *files: dict[str, Any]) -> None:
    page.set_input_files("#files", list(files))


def lines(page: Page) -> list[str]:
    """What the list says of each subject, in words."""
    page.wait_for_selector(".found .line")
    names: list[str] = page.locator(".found .line").evaluate_all("all => all.map((line) => line.ariaLabel)")
    return names


def pixels(page: Page, selector: str = ".frame") -> NDArray[np.uint8]:
    """An element as it looks, RGB."""
    return np.asarray(Image.open(BytesIO(page.locator(selector).screenshot())).convert("RGB"))
