"""Whether two answers for one picture are the same, whatever order sums were taken in."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deployments.imaging.rle import decode_rle
from deployments.results import Instance

LEAST_IOU = 0.999


def assert_same_instances(
    found: Sequence[Instance],
    scores: NDArray[np.float32],
    labels: NDArray[np.int64],
    masks: NDArray[np.bool_],
    tolerance: float,
) -> None:
    """Each reference instance has one of ours with its label, its score within ``tolerance``, and its mask.

    scores: float32 [N]; labels: int64 [N]; masks: bool [N, H, W]. Scores this close have no order of their own, so
    instances are paired by overlap. A reference mask without a pixel at the original size has no counterpart, since our
    answers leave such instances out.
    """
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    left = [(one, decode_rle(one.mask).astype(bool)) for one in found]
    for score, label, mask in zip(scores.tolist(), labels.tolist(), masks, strict=True):
        if not mask.any():
            continue
        alike = [
            (intersection_over_union(ours, mask), place)
            for place, (one, ours) in enumerate(left)
            if one.label_id == label and abs(one.score - score) <= tolerance
        ]
        assert alike, f"no instance of label {label} has a score within {tolerance} of {score}"
        iou, place = max(alike)
        assert iou >= LEAST_IOU, f"the mask of label {label} with score {score} has IoU {iou:.4f}"
        one, ours = left.pop(place)
        assert one.area == np.count_nonzero(ours)
    assert left == [], f"{len(left)} instances have no counterpart"


def intersection_over_union(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Of two masks, bool [H, W], of which one has a pixel at least."""
    return float(np.count_nonzero(one & other) / np.count_nonzero(one | other))
