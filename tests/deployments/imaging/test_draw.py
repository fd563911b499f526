from io import BytesIO
from typing import Any, Literal

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from skimage.data import astronaut

from deployments.imaging import labels
from deployments.imaging.draw import MASK_OPACITY, draw, encode_picture
from deployments.imaging.labels import FACE_COLORS, INSTANCE_COLORS
from deployments.imaging.masks import encode_rle
from deployments.imaging.rle import rle_area, rle_box
from deployments.results import Box, Detection, Face, Instance

PHOTO: NDArray[np.uint8] = astronaut()
FACE = Face(Box(175, 70, 275, 185), 0.99, "NO MASK", 0.98)
SHARES = [(0.1, 0.1, 0.4, 0.4), (0.6, -0.1, 1.2, 0.3), (0.2, 0.7, 0.9, 0.99)]
"""Boxes as shares of a picture's side."""


def instance(mask: NDArray[np.bool_], label: str = "person") -> Instance:
    rle = encode_rle(mask)
    return Instance(0, label, 0.87, rle_box(rle), rle, rle_area(rle))


def rectangle(shape: tuple[int, int], left: int, top: int, right: int, bottom: int) -> NDArray[np.bool_]:
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


def texts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Box]]:
    """The labels that are drawn from here on, each with its plate's box."""
    seen: list[tuple[str, Box]] = []
    place = labels._place

    def spy(plate: Any, *arguments: Any) -> Box:
        box = place(plate, *arguments)
        seen.append((plate.text, box))
        return box

    monkeypatch.setattr(labels, "_place", spy)
    return seen


def test_draws_on_a_copy_and_nothing_where_nothing_is() -> None:
    before = PHOTO.copy()
    drawn = draw(PHOTO, [FACE], [])
    assert drawn.shape == PHOTO.shape
    assert drawn.dtype == np.uint8
    assert not np.array_equal(drawn, PHOTO)
    np.testing.assert_array_equal(PHOTO, before)
    np.testing.assert_array_equal(draw(PHOTO, [], []), PHOTO)
    np.testing.assert_array_equal(drawn[300:], PHOTO[300:])


@pytest.mark.parametrize("label", ["MASK", "NO MASK"])
def test_face_box_has_the_colour_of_its_label(label: Literal["MASK", "NO MASK"]) -> None:
    drawn = draw(PHOTO, [Face(FACE.box, 0.9, label, 0.9)], [])
    assert tuple(drawn[184, 225]) == FACE_COLORS[label]
    assert tuple(drawn[130, 274]) == FACE_COLORS[label]
    np.testing.assert_array_equal(drawn[130, 225], PHOTO[130, 225])


def test_mask_is_blended_inside_and_only_inside() -> None:
    drawn = draw(PHOTO, [], [instance(rectangle((512, 512), 100, 200, 300, 400))])
    inner, colour = np.s_[240:360, 140:260], np.array(INSTANCE_COLORS[0])
    expected = PHOTO[inner] * (1 - MASK_OPACITY) + colour * MASK_OPACITY
    assert np.abs(drawn[inner] - expected).max() <= 1
    np.testing.assert_array_equal(drawn[410:], PHOTO[410:])


def test_hole_in_a_mask_is_left_clear() -> None:
    mask = rectangle((512, 512), 100, 200, 300, 400) & ~rectangle((512, 512), 150, 250, 250, 350)
    np.testing.assert_array_equal(draw(PHOTO, [], [instance(mask)])[260:340, 160:240], PHOTO[260:340, 160:240])


def test_neighbours_differ() -> None:
    masks = [rectangle((512, 512), left, 200, left + 100, 400) for left in (50, 200, 350)]
    drawn = draw(np.full_like(PHOTO, 255), [], [instance(mask) for mask in masks])
    middles = [drawn[300, left].astype(int) for left in (100, 250, 400)]
    for one, other in zip(middles, [*middles[1:], middles[0]], strict=True):
        assert np.abs(one - other).sum() > 60


def test_labels_say_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = texts(monkeypatch)
    draw(PHOTO, [FACE], [instance(rectangle((512, 512), 100, 200, 300, 400))])
    assert [text for text, _ in seen] == ["NO MASK 98%", "person 0.87"]


def test_objects_get_a_box_in_the_colour_of_their_label_and_no_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = texts(monkeypatch)
    boxes = [Box(100, 200, 300, 400), Box(310, 200, 350, 400), Box(400, 200, 500, 400)]
    found = [Detection(label_id, "cup", 0.876, box) for label_id, box in zip((3, 4, 3), boxes, strict=True)]
    drawn = draw(PHOTO, [], [], found)
    for box, label_id in zip(boxes, (3, 4, 3), strict=True):
        assert tuple(drawn[300, int(box.left)]) == tuple(drawn[300, int(box.right) - 1]) == INSTANCE_COLORS[label_id]
        middle = np.s_[300, int(box.left + box.right) // 2]
        np.testing.assert_array_equal(drawn[middle], PHOTO[middle])
    assert [text for text, _ in seen] == ["cup 0.88"] * 3
    assert draw(PHOTO, [], [], [Detection(10**6, "cup", 1.0, boxes[0])]).shape == PHOTO.shape


def test_a_label_gives_way_to_faces_and_earlier_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = texts(monkeypatch)
    crowd = [Detection(n, "bottle", 0.5, Box(200 + 8 * n, 200, 260 + 8 * n, 300)) for n in range(4)]
    draw(PHOTO, [FACE], [instance(rectangle((512, 512), 100, 200, 300, 400))], crowd)
    plates = [box for _, box in seen]
    assert len(plates) == 6
    for index, plate in enumerate(plates):
        assert all(plate.intersection(other) == 0 for other in plates[:index])


@pytest.mark.parametrize("side", [64, 200, 512, 2000, 6000])
def test_labels_of_objects_are_readable_at_any_size(monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    seen = texts(monkeypatch)
    found = [Detection(n, "dining table", 0.5, Box(*(side * at for at in box))) for n, box in enumerate(SHARES)]
    drawn = draw(np.full((side, side, 3), 90, np.uint8), [], [], found)
    for _, box in seen:
        assert box.intersection(Box(0, 0, side, side)) == box.area > 0
        assert 9 <= box.bottom - box.top <= max(16, side / 20)
        plate = drawn[int(box.top) : int(box.bottom), int(box.left) : int(box.right)]
        assert np.ptp(cv2.cvtColor(plate, cv2.COLOR_RGB2GRAY)) > 80, "the text stands out from its plate"


@pytest.mark.parametrize("side", [64, 200, 512, 2000, 6000])
def test_labels_stay_inside_and_apart_at_any_size(monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    seen = texts(monkeypatch)
    picture = np.zeros((side, side, 3), np.uint8)
    scale = side / 512
    face = Face(Box(*(scale * value for value in (175, 70, 275, 185))), 0.99, "NO MASK", 0.98)
    mask = rectangle((side, side), int(side * 0.6), 0, side, int(side * 0.9))
    drawn = draw(picture, [face], [instance(mask, "dining table")])
    boxes = [box for _, box in seen]
    for box in boxes:
        assert box.intersection(Box(0, 0, side, side)) == box.area > 0
        assert 9 <= box.bottom - box.top <= max(16, side / 20)
    assert boxes[0].intersection(boxes[1]) == 0
    for box in boxes:
        plate = drawn[int(box.top) : int(box.bottom), int(box.left) : int(box.right)]
        assert np.ptp(cv2.cvtColor(plate, cv2.COLOR_RGB2GRAY)) > 80, "the text stands out from its plate"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.lists(st.tuples(*[st.floats(-200, 300)] * 4), max_size=5),
    st.integers(0, 2**32 - 1),
)
def test_any_picture_and_boxes(
    height: int, width: int, boxes: list[tuple[float, float, float, float]], seed: int
) -> None:
    generator = np.random.default_rng(seed)
    mask = generator.random((height, width)) < 0.3
    image = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    found = [Detection(7, "cup", 0.5, Box(*box)) for box in boxes]
    drawn = draw(image, [Face(Box(*box), 0.5, "MASK", 0.5) for box in boxes], [instance(mask)], found)
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8


def test_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="mask"):
        draw(PHOTO, [], [instance(np.ones((4, 4), bool))])


def test_encode_picture() -> None:
    with Image.open(BytesIO(encode_picture(PHOTO, "png"))) as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), PHOTO)
    with Image.open(BytesIO(encode_picture(PHOTO, "jpeg"))) as image:
        assert image.format == "JPEG"
        assert np.abs(np.asarray(image).astype(int) - PHOTO).mean() < 3
