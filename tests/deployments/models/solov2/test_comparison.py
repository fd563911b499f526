"""The comparison with reference outputs finds what it is for, and forgives only what it says."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from deployments.imaging.masks import encode_rle
from deployments.imaging.rle import rle_area, rle_box
from deployments.results import Instance
from tests.deployments.models.solov2.comparison import assert_same_instances

TOLERANCE = 1e-4
LABELS = np.array([3, 3, 7])
SCORES = np.array([0.5, 0.49999, 0.3], np.float32)


def square(top: int, left: int) -> NDArray[np.bool_]:
    mask = np.zeros((64, 64), bool)
    mask[top : top + 32, left : left + 32] = True
    return mask


MASKS = np.stack([square(0, 0), square(0, 32), square(32, 0)])


def instance(label: int, score: float, mask: NDArray[np.bool_]) -> Instance:
    rle = encode_rle(mask)
    return Instance(label, str(label), score, rle_box(rle), rle, rle_area(rle))


@pytest.fixture
def found() -> list[Instance]:
    return [instance(*each) for each in zip(LABELS.tolist(), SCORES.tolist(), MASKS, strict=True)]


def test_equal_answers(found: list[Instance]) -> None:
    assert_same_instances(found, SCORES, LABELS, MASKS, TOLERANCE)


def test_close_scores_of_one_label_may_swap(found: list[Instance]) -> None:
    first, second = instance(3, 0.5, MASKS[1]), instance(3, 0.49999, MASKS[0])
    assert_same_instances([first, second, found[2]], SCORES, LABELS, MASKS, TOLERANCE)


def test_a_reference_mask_without_a_pixel_may_be_absent(found: list[Instance]) -> None:
    masks = np.concatenate([MASKS, np.zeros((1, 64, 64), bool)])
    assert_same_instances(found, np.append(SCORES, np.float32(0.2)), np.append(LABELS, 3), masks, TOLERANCE)


def test_a_wrong_mask_is_found(found: list[Instance]) -> None:
    mask = MASKS[1].copy()
    mask[0, 32:36] = False
    wrong = [found[0], instance(3, found[1].score, mask), found[2]]
    with pytest.raises(AssertionError, match="IoU"):
        assert_same_instances(wrong, SCORES, LABELS, MASKS, TOLERANCE)


def test_a_wrong_score_is_found(found: list[Instance]) -> None:
    wrong = [*found[:2], replace(found[2], score=found[2].score + 3 * TOLERANCE)]
    with pytest.raises(AssertionError, match="no instance of label 7"):
        assert_same_instances(wrong, SCORES, LABELS, MASKS, TOLERANCE)


def test_a_wrong_label_or_area_or_order_is_found(found: list[Instance]) -> None:
    for wrong in (
        [*found[:2], instance(8, found[2].score, MASKS[2])],
        [*found[:2], replace(found[2], area=found[2].area + 1)],
        found[::-1],
    ):
        with pytest.raises(AssertionError):
            assert_same_instances(wrong, SCORES, LABELS, MASKS, TOLERANCE)


def test_one_too_many_or_too_few_is_found(found: list[Instance]) -> None:
    for wrong in (found[:2], [*found, instance(7, 0.1, MASKS[2])]):
        with pytest.raises(AssertionError):
            assert_same_instances(wrong, SCORES, LABELS, MASKS, TOLERANCE)
