import numpy as np
import pytest
from PIL import Image

from deployments.imaging.masks import encode_rle
from deployments.imaging.resize import prepare
from deployments.imaging.rle import decode_rle, rle_area, rle_box
from deployments.models.card import card_path, read_card
from deployments.models.load import load
from deployments.results import Box, Detection, Face, Instance
from serve_app.commands.preprocessing.answers import (
    answer,
    change_in_words,
    compare_answers,
    in_words,
    turn_upright,
    under,
    upright_box,
)
from tests.photos import astronaut
from tests.serve_app.commands.preprocessing.conftest import STORE


def instance(left: int, top: int, right: int, bottom: int, score: float = 0.9, label: str = "person") -> Instance:
    mask = np.zeros((40, 60), bool)
    mask[top:bottom, left:right] = True
    rle = encode_rle(mask)
    return Instance(0, label, score, rle_box(rle), rle, rle_area(rle))


def face(left: float, score: float, label: str, confidence: float) -> Face:
    return Face(Box(left, 0, left + 10, 10), score, label, confidence)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_results_of_the_stored_photo_are_turned_upright(orientation: int) -> None:
    upright = np.zeros((40, 60), np.uint8)
    upright[5:12, 20:50] = 1
    turn = STORE.get(orientation)
    stored = np.array(Image.fromarray(upright).transpose(turn)) if turn is not None else upright
    rle = encode_rle(stored)
    found = Instance(0, "person", 0.5, rle_box(rle), rle, rle_area(rle))
    (turned,) = turn_upright([found], orientation, 40, 60)
    assert isinstance(turned, Instance)
    np.testing.assert_array_equal(decode_rle(turned.mask), upright)
    assert turned.box == Box(20, 5, 50, 12) == upright_box(found.box, orientation, 40, 60)
    (box_only,) = turn_upright([Detection(0, "person", 0.5, found.box)], orientation, 40, 60)
    assert box_only.box == Box(20, 5, 50, 12)


def test_equal_answers() -> None:
    found = [instance(0, 0, 10, 10), instance(20, 0, 40, 30, score=0.5)]
    change = compare_answers(found, found)
    assert (change.lost, change.new, change.relabelled, change.score_change, change.lowest_iou) == (0, 0, 0, 0, 1)
    assert change_in_words(change) == "the same"


def test_masks_count_where_boxes_agree() -> None:
    whole, ring = instance(0, 0, 20, 20), instance(0, 0, 20, 20)
    mask = decode_rle(ring.mask).copy()
    mask[5:15, 5:15] = False
    rle = encode_rle(mask)
    change = compare_answers([whole], [Instance(0, "person", 0.9, ring.box, rle, 300)])
    assert change.lowest_iou == pytest.approx(0.75)
    assert change_in_words(change) == "IoU 0.75"


def test_lost_new_and_relabelled() -> None:
    expected = [instance(0, 0, 10, 10), instance(20, 0, 40, 30)]
    found = [instance(20, 0, 40, 30, score=0.7, label="dog"), instance(45, 0, 50, 5), instance(45, 20, 50, 25)]
    change = compare_answers(expected, found)
    assert (change.expected, change.found, change.lost, change.new, change.relabelled) == (2, 3, 1, 2, 1)
    assert change.score_change == pytest.approx(-0.2)
    assert change_in_words(change) == "1 of 2 lost, 2 new, 1 relabelled, score -0.20"


def test_each_object_is_paired_once_with_the_closest() -> None:
    change = compare_answers([instance(0, 0, 20, 20)], [instance(0, 0, 20, 18), instance(0, 0, 20, 20)])
    assert (change.lost, change.new, change.lowest_iou) == (0, 1, 1)


def test_a_face_that_changes_its_verdict() -> None:
    change = compare_answers([face(0, 0.8, "MASK", 0.9)], [face(1, 0.75, "NO MASK", 0.6)])
    assert change.relabelled == 1
    assert change.score_change == pytest.approx(-0.5)  # the probability of a mask, 0.9 to 0.4
    assert change.lowest_iou == pytest.approx(9 / 11)


@pytest.mark.parametrize(("expected", "found", "words"), [(0, 0, "the same"), (1, 0, "1 of 1 lost"), (0, 1, "1 new")])
def test_nothing_found(expected: int, found: int, words: str) -> None:
    one = [instance(0, 0, 10, 10)]
    change = compare_answers(one * expected, one * found)
    assert change_in_words(change) == words
    assert change.score_change is None
    assert change.lowest_iou is None


def test_in_words() -> None:
    assert in_words([]) == "nothing"
    found = [instance(0, 0, 9, 9, 0.4), instance(0, 0, 9, 9, 0.91), instance(0, 0, 9, 9, 0.3, "tie")]
    assert in_words(found) == "2 person (0.91), 1 tie (0.30)"


@pytest.mark.parametrize("reference", ["face_mask", "solov2_people"])
def test_a_model_under_a_reversed_channel_order_answers_as_for_a_reversed_photo(reference: str) -> None:
    card = read_card(card_path(reference))
    model = load(reference, card.task, "cpu", 1)
    prepared = prepare(astronaut(), card.image)
    reversed_photo = np.ascontiguousarray(prepared[..., ::-1])
    altered = under(model, card.image.model_copy(update={"color_order": "bgr"}))
    assert answer(altered, prepared, 512, 512) == answer(model, reversed_photo, 512, 512)
    assert answer(altered, prepared, 512, 512) != answer(model, prepared, 512, 512)
    assert model.card is not altered.card
    assert model.card.image == card.image
