"""Masks and ties in the browser against those of the service, on scenes made at random."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page

from deployments.imaging.masks import encode_rle
from deployments.imaging.polygons import to_polygons
from deployments.imaging.rle import rle_box_intersection
from deployments.results import Box, Face, Instance
from serve_app.analysis import ImageAnalysis
from serve_app.people import tie
from serve_app.protocols.native.answer import box_json, image_json, png_uri
from tests.serve_app.web.conftest import box_of

SEEDS = range(60)


@pytest.fixture
def modules(browser: Browser, service: str) -> Iterator[Page]:
    """A page on which the modules can be called."""
    page = browser.new_page()
    page.goto(f"{service}/")
    yield page
    page.close()


def call(page: Page, module: str, code: str, argument: Any) -> Any:
    """What ``code``, a function of (module, argument), promises."""
    return page.evaluate(f"async (argument) => ({code})(await import('/web/{module}'), argument)", argument)


def random_mask(seed: int) -> NDArray[np.bool_]:
    """Noise of any density, with blobs, of any small size; the first are empty and full."""
    random = np.random.default_rng(seed)
    height, width = random.integers(1, 24, 2)
    if seed < 2:
        return np.full((height, width), seed == 1)
    mask = random.random((height, width)) < random.choice([0.05, 0.5, 0.95])
    for _ in range(random.integers(0, 3)):
        y, x = random.integers(0, height), random.integers(0, width)
        mask[y : y + random.integers(1, 9), x : x + random.integers(1, 9)] = random.random() < 0.7
    return mask


MASKS = [random_mask(seed) for seed in SEEDS]


def spans_to_mask(spans: list[int], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    flat = np.zeros(shape[0] * shape[1], bool)
    for start, end in zip(spans[::2], spans[1::2], strict=True):
        assert not flat[start:end].any()
        flat[start:end] = True
    return flat.reshape(shape[1], shape[0]).T


@pytest.mark.parametrize("form", ["rle", "polygon", "png"])
def test_every_form_of_a_mask_is_read(modules: Page, form: str) -> None:
    write = {
        "rle": encode_rle,
        "polygon": to_polygons,
        "png": lambda m: png_uri(encode_rle(m)),
    }
    sent = [{"mask": write[form](mask), "height": mask.shape[0], "width": mask.shape[1]} for mask in MASKS]
    code = "(m, all) => Promise.all(all.map(({ mask, height, width }) => m.readMask(mask, height, width)))"
    for mask, read in zip(MASKS, call(modules, "masks.js", code, sent), strict=True):
        assert (read["height"], read["width"]) == mask.shape
        assert np.array_equal(spans_to_mask(read["spans"], mask.shape), mask)


def test_a_large_mask_is_read(modules: Page) -> None:
    """Runs of millions of pixels, which take six characters."""
    mask = np.zeros((3000, 4000), bool)
    mask[100:2900, 1000:1001] = mask[7, 3999] = mask[:, 2000:3000] = True
    read = call(modules, "masks.js", "(m, rle) => m.fromRle(rle)", encode_rle(mask))
    assert np.array_equal(spans_to_mask(read["spans"], mask.shape), mask)


@pytest.mark.parametrize("counts", ["", "0", "\u20ac", "oooooooooo", "4`", encode_rle(np.eye(4)[:3] > 0)["counts"]])
def test_malformed_counts_are_refused(modules: Page, counts: str) -> None:
    code = "(m, counts) => { try { m.fromRle({ size: [4, 4], counts }) } catch (error) { return error.message } }"
    assert "counts" in call(modules, "masks.js", code, counts)


def test_outlines_enclose_exactly_the_mask(modules: Page) -> None:
    code = "(m, all) => all.map((rle) => m.outline(m.fromRle(rle)))"
    paths = call(modules, "masks.js", code, [encode_rle(mask) for mask in MASKS])
    for mask, path in zip(MASKS, paths, strict=True):
        assert np.array_equal(inside(path, mask.shape), mask)


def inside(path: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The pixels whose centres a path of straight sides encloses, by the even-odd rule: a ray upward is crossed."""
    crossed = np.zeros(shape, int)
    for ring in re.findall("M([^Z]*)Z", path):
        points = [tuple(int(part) for part in point.split()) for point in ring.split("L")]
        for (x, y), (next_x, next_y) in zip(points, points[1:] + points[:1], strict=True):
            assert x == next_x or y == next_y, "sides run along pixel edges"
            assert (x, y) != (next_x, next_y)
            crossed[y:, min(x, next_x) : max(x, next_x)] += y == next_y
    return crossed % 2 == 1


def test_pixels_in_a_box_are_counted_as_the_service_does(modules: Page) -> None:
    random = np.random.default_rng(0)
    cases = []
    for mask in MASKS:
        # In every second box, sides through pixels' centres.
        left, top, right, bottom = np.round(random.uniform(-3, 27, 4) * 2) / 2
        if len(cases) % 2:
            left, top, right, bottom = np.round(random.uniform(-3, 27, 4), 2)
        cases.append((encode_rle(mask), Box(left, top, right, bottom)))
    code = "(m, all) => all.map(([rle, box]) => m.pixelsInBox(m.fromRle(rle), box))"
    counted = call(modules, "masks.js", code, [[rle, box_json(box)] for rle, box in cases])
    assert counted == [rle_box_intersection(rle, box) for rle, box in cases]
    assert sum(counted) > 100


def random_scene(seed: int) -> tuple[list[Face], list[Instance]]:
    """People who overlap, with faces that several of them cover; scores are of two digits, so some are equal."""
    random = np.random.default_rng(seed)
    height, width = 40, 60
    instances, faces = [], []
    for score in sorted(random.integers(20, 100, random.integers(0, 7)), reverse=True):
        mask = np.zeros((height, width), bool)
        y, x = random.integers(0, 30), random.integers(0, 50)
        mask[y : y + random.integers(2, 30), x : x + random.integers(2, 30)] = True
        mask &= random.random((height, width)) < random.choice([0.4, 0.9, 1.0])
        if mask.any():
            label_id, label = [(0, "person"), (0, "person"), (56, "chair")][random.integers(3)]
            instances.append(Instance(label_id, label, score / 100, box_of(mask), encode_rle(mask), int(mask.sum())))
    for score in sorted(random.integers(20, 100, random.integers(0, 7)), reverse=True):
        # Some of whole pixels and eighths of coverage, so that ties are met.
        x, y = random.integers(0, 50), random.integers(0, 30)
        w, h = random.choice([(8, 4), (8, 8), (7.31, 6.44)])
        label = ("MASK", "NO MASK")[random.integers(2)]
        faces.append(Face(Box(float(x), float(y), float(x + w), float(y + h)), score / 100, label, 0.9))
    return faces, instances


FILTERED = """async (m, all) => {
    const { fromRle } = await import("/web/masks.js");
    return all.map(([image, settings]) => {
        const masks = image.instances.map(({ mask }) => fromRle(mask));
        return m.filterImage(image, masks, settings).image;
    });
}"""


def scene_of(face: Box, *masks: NDArray[np.bool_]) -> tuple[list[Face], list[Instance]]:
    people = [
        Instance(0, "person", 0.9 - number / 100, box_of(mask), encode_rle(mask), int(mask.sum()))
        for number, mask in enumerate(masks)
    ]
    return [Face(face, 0.9, "MASK", 0.9)], people


def covering(pixels: int, beside: int) -> NDArray[np.bool_]:
    """A mask of so many pixels in the first 20 columns of 40 rows, and so many rows of 30 elsewhere."""
    mask = np.zeros((40, 60), bool)
    mask[:, :20].T.flat[:pixels] = True
    mask[:beside, 30:] = True
    return mask


HALF = Box(0.0, 0.0, 20.0, 40.0)
"""800 pixels, of which 500 are 0.625: rounded to 0.62, the even one, as 497 are."""
SCENES_AT_THE_EDGE = [
    ("just enough", 0, scene_of(HALF, covering(240, 0))),
    ("just too little", None, scene_of(HALF, covering(239, 0))),
    ("equal coverage goes to the smaller", 1, scene_of(HALF, covering(800, 9), covering(800, 3), covering(800, 6))),
    ("a tie in rounding is equal coverage", 1, scene_of(HALF, covering(500, 9), covering(497, 3))),
    ("more coverage goes before", 0, scene_of(HALF, covering(510, 9), covering(497, 3))),
    ("no face at all", None, scene_of(Box(5.0, 5.0, 5.0, 9.0), covering(800, 3))),
]
"""What a scene shows, the instance that holds its face, and the scene."""


def test_ties_at_the_edge(modules: Page) -> None:
    images = [entry(*scene) for _, _, scene in SCENES_AT_THE_EDGE]
    everything = {task: {"least": 0, "ofClass": {}} for task in ("mask_detection", "instance_segmentation")}
    tied = call(modules, "answer.js", FILTERED, [[image, everything] for image in images])
    for (name, holder, _), image, mine in zip(SCENES_AT_THE_EDGE, images, tied, strict=True):
        assert image["faces"][0]["person"] == holder, name
        assert mine == image, name


def test_faces_are_tied_to_people_as_the_service_does(modules: Page) -> None:
    """Filtering what was found at a low threshold is what the service would find at the higher one."""
    sent, wanted = [], []
    for seed in range(300):
        faces, instances = random_scene(seed)
        random = np.random.default_rng(seed)
        least_face, least = (int(value) / 100 for value in random.integers(20, 60, 2))
        of_class = {"chair": 0.5} if seed % 2 else {}
        thresholds = {
            "mask_detection": {"least": least_face, "ofClass": {}},
            "instance_segmentation": {"least": least, "ofClass": of_class},
        }
        sent.append([entry(faces, instances), thresholds])
        sure_faces = [face for face in faces if face.face_score >= least_face]
        sure = [one for one in instances if one.score >= of_class.get(one.label, least)]
        wanted.append(entry(sure_faces, sure))
    assert call(modules, "answer.js", FILTERED, sent) == wanted
    assert sum(person["face"] is not None for image in wanted for person in image["people"]) > 60


def entry(faces: list[Face], instances: list[Instance]) -> dict[str, Any]:
    """An image's entry as the service writes it."""
    analysis = ImageAnalysis("scene.png", 60, 40, faces, instances, tie(faces, instances))
    written: dict[str, Any] = dict(image_json(1, analysis))
    for one, found in zip(written["instances"], instances, strict=True):
        one["mask"] = found.mask
    return written
