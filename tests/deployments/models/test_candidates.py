import numpy as np
import pytest
import torch

from deployments.calls import Call, InstanceSegmentationOptions, Item, MaskDetectionOptions, ObjectDetectionOptions
from deployments.imaging.masks import encode_rle
from deployments.imaging.rle import decode_rle
from deployments.models.candidates import Asked, Candidates, asked, detections, faces, instances, select
from deployments.models.card import card_path, read_card
from deployments.results import Box, Detection, Face

NAMES = ("cat", "dog", "cow")
FACES = read_card(card_path("face_mask"))
CARD = read_card(card_path("solov2_people")).model_copy(update={"labels": NAMES, "class_thresholds": {}})
PICKY = CARD.model_copy(update={"class_thresholds": {"cat": 0.2, "cow": 0.8}})
ALL = Asked(score_threshold=0.0, nms_iou=None, label_ids=None, most=100)


def candidates(*rows: tuple[float, float, float, float, float, int]) -> Candidates:
    values = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    return Candidates(values[:, :4], values[:, 4], values[:, 5].long())


def item(height: int, width: int, sent: tuple[int, int]) -> Item:
    call = Call(height, width, ObjectDetectionOptions(), deadline=float("inf"), request_id="test")
    return Item(np.zeros((*sent, 3), np.uint8), call)


def test_what_a_request_leaves_open_is_the_models() -> None:
    thresholds = {"score_threshold": 0.3, "nms_iou": 0.6}
    assert asked(ObjectDetectionOptions(), thresholds, CARD, 50) == Asked(0.3, 0.6, None, 50)
    assert asked(InstanceSegmentationOptions(), {"score_threshold": 0.3}, CARD, 50) == Asked(0.3, None, None, 50)


def test_what_a_request_says_goes_before() -> None:
    thresholds = {"score_threshold": 0.3, "nms_iou": 0.6}
    options = ObjectDetectionOptions(score_threshold=0.0, nms_iou=0.0, classes=("cow", "cat", "yak"), max_objects=0)
    assert asked(options, thresholds, CARD, 50) == Asked(0.0, 0.0, (0, 2), 0)
    assert asked(InstanceSegmentationOptions(max_instances=7), thresholds, CARD, 50).most == 7


def test_a_cards_class_thresholds_hold_until_a_request_names_one_for_all() -> None:
    found = candidates((0, 0, 9, 9, 0.3, 0), (0, 0, 9, 9, 0.4, 1), (0, 0, 9, 9, 0.6, 1), (0, 0, 9, 9, 0.7, 2))
    for options in (ObjectDetectionOptions(), InstanceSegmentationOptions()):
        wanted = asked(options, {"score_threshold": 0.5}, PICKY, 50)
        assert select(found, wanted).scores.tolist() == pytest.approx([0.6, 0.3])
        assert wanted.lowest_threshold == 0.2
    wanted = asked(ObjectDetectionOptions(score_threshold=0.65), {"score_threshold": 0.5}, PICKY, 50)
    assert select(found, wanted).scores.tolist() == pytest.approx([0.7])
    assert wanted.lowest_threshold == 0.65


def test_what_is_asked_of_faces() -> None:
    assert asked(MaskDetectionOptions(), {"face_threshold": 0.3}, FACES, 50) == Asked(0.3, None, None, 50)
    assert asked(MaskDetectionOptions(0.6), {"face_threshold": 0.3}, FACES, 50) == Asked(0.6, None, None, 50)


def test_of_a_face_with_two_labels_the_better_is_kept() -> None:
    labels = ("MASK", "NO MASK", "NO MASK")  # the third is a mask worn wrongly
    found = candidates((2, 2, 12, 12, 0.75, 0), (2, 2, 12, 11, 0.5, 1), (30, 30, 40, 40, 0.25, 2))
    assert faces(found, item(50, 50, (50, 50)), labels) == [
        Face(Box(2, 2, 12, 12), 0.75, "MASK", 0.75),
        Face(Box(30, 30, 40, 40), 0.25, "NO MASK", 0.25),
    ]


def test_a_request_cannot_raise_the_models_bound() -> None:
    assert asked(ObjectDetectionOptions(max_objects=10**9), {"score_threshold": 0.3}, CARD, 50).most == 50


def test_the_wanted_are_selected_best_first() -> None:
    found = candidates((0, 0, 1, 1, 0.2, 0), (0, 0, 1, 1, 0.9, 1), (0, 0, 1, 1, 0.5, 0), (0, 0, 1, 1, 0.7, 2))
    assert select(found, ALL).scores.tolist() == pytest.approx([0.9, 0.7, 0.5, 0.2])
    assert select(found, Asked(0.5, None, None, 2)).scores.tolist() == pytest.approx([0.9, 0.7])
    assert select(found, Asked(0.0, None, (0, 2), 100)).labels.tolist() == [2, 0, 0]
    assert select(found, Asked(0.0, None, (), 100)).labels.tolist() == []
    assert select(candidates(), ALL).labels.tolist() == []


def test_masks_stay_with_their_objects() -> None:
    found = candidates((0, 0, 1, 1, 0.2, 0), (0, 0, 1, 1, 0.9, 1))._replace(masks=torch.tensor([[[2.0]], [[9.0]]]))
    masks = select(found, ALL).masks
    assert masks is not None
    assert masks.flatten().tolist() == [9.0, 2.0]


def test_what_is_no_box_is_never_selected() -> None:
    nan, inf = float("nan"), float("inf")
    found = candidates(
        (0, 0, nan, 1, 0.9, 0), (0, 0, inf, 1, 0.9, 0), (0, 0, 1, 1, nan, 0), (1, 0, 1, 1, 0.9, 0), (0, 1, 1, 0, 0.9, 0)
    )
    assert len(select(found, ALL).scores) == 0


def test_detections_are_in_pixels_of_the_original_and_inside_of_it() -> None:
    found = candidates((1, 2, 3, 4, 0.5, 2), (-5, -5, 50, 50, 0.25, 0), (10, 0, 12, 20, 0.25, 0))
    assert detections(found, item(40, 30, sent=(20, 10)), NAMES) == [
        Detection(2, "cow", 0.5, Box(3, 4, 9, 8)),
        Detection(0, "cat", 0.25, Box(0, 0, 30, 40)),
    ]


def test_instances_have_the_extent_of_their_masks() -> None:
    mask, empty = np.zeros((2, 4, 6), bool)
    mask[1:3, 2:5] = True
    rles = [encode_rle(mask), encode_rle(empty)]
    (one,) = instances(torch.tensor([0.5, 0.25]), torch.tensor([1, 0]), rles, NAMES)
    assert (one.label_id, one.label, one.score, one.area) == (1, "dog", 0.5, 6)
    assert one.box == Box(2, 1, 5, 3)
    np.testing.assert_array_equal(decode_rle(one.mask), mask)
