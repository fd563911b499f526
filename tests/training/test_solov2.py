import numpy as np
import torch

from deployments.models.solov2.network import RawOutput
from training.solov2 import ARCHITECTURE, INPUT, SCALE_RANGES, assign, beside, dice_loss, loss, make_target, paste


def square(left: int, top: int, side: int) -> np.ndarray:
    mask = np.zeros((INPUT, INPUT), np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


def test_an_object_is_learnt_at_its_centre_on_the_levels_of_its_size() -> None:
    target = make_target([0], [square(64, 96, 64)], exhaustive=True)
    for level, grid in enumerate(ARCHITECTURE.grids):
        index = assign(target, level)
        low, high = SCALE_RANGES[level]
        if low <= 64 <= high:
            assert index[int(128 / INPUT * grid), int(96 / INPUT * grid)] == 0
            assert int((index >= 0).sum()) <= 9
        else:
            assert int((index >= 0).sum()) == 0


def test_the_smaller_object_wins_a_shared_cell() -> None:
    target = make_target([0, 5], [square(60, 60, 100), square(85, 85, 50)], exhaustive=True)
    shared = [assign(target, level) for level, (low, high) in enumerate(SCALE_RANGES) if low <= 50 and high >= 100]
    assert shared
    for index in shared:
        grid = index.shape[0]
        assert index[int(110 / INPUT * grid), int(110 / INPUT * grid)] == 1


def test_dice_is_zero_for_the_same_mask_and_one_for_another() -> None:
    a = torch.tensor([[1.0, 1, 0, 0]])
    assert float(dice_loss(a, a)) < 1e-3
    assert float(dice_loss(a, 1 - a)) == 1


def test_a_cell_on_an_outline_is_worth_the_share_of_it_that_is_covered() -> None:
    target = make_target([0], [square(65, 64, 30)], exhaustive=True)
    assert target.masks[0, 16, 15:25].tolist() == [0, 0.75, 1, 1, 1, 1, 1, 1, 0.75, 0]
    logits = torch.logit(target.masks.flatten(1), eps=1e-4)
    exact, fuller = (float(dice_loss(moved.sigmoid(), target.masks.flatten(1))) for moved in (logits, logits + 3))
    assert exact < 1e-3 < fuller, "the loss is least where the answer is the share itself"


def test_pasted_people_hide_what_is_behind_them() -> None:
    image, behind = np.zeros((INPUT, INPUT, 3), np.uint8), square(0, 0, INPUT)
    sample = (image, [7], [behind])
    donor = (np.full((INPUT, INPUT, 3), 200, np.uint8), [0], [square(100, 100, 40)])
    paste(np.random.default_rng(0), sample, donor)
    assert sample[1] == [7, 0]
    pasted = sample[2][1] > 0
    assert pasted.sum() == 1600
    assert (image[pasted] == 200).all()
    assert not behind[pasted].any()


def test_a_person_comes_to_stand_beside_another_at_near_the_same_size() -> None:
    there, donor = square(100, 90, 60), square(10, 10, 30)
    for seed in range(20):
        scale, _, dx = beside(np.random.default_rng(seed), donor, there)[0]
        assert 60 * 0.7 <= 30 * scale <= 60 * 1.3
        left, right = 10 * scale + dx, 40 * scale + dx
        gap = max(left - 160, 100 - right)
        assert gap < 5
        assert not (left <= 101 and right >= 159), "one would hide the other whole"


def test_unlabelled_objects_are_not_background_where_only_people_are_labelled() -> None:
    grids = ARCHITECTURE.grids

    def category_loss_of(logit: float, exhaustive: bool) -> float:
        logits = [torch.full((1, ARCHITECTURE.classes, g, g), -9.0) for g in grids]
        for level in logits:
            level[:, 3] = logit
        kernels = [torch.zeros(1, ARCHITECTURE.kernel_channels, g, g) for g in grids]
        raw = RawOutput(logits, kernels, torch.zeros(1, ARCHITECTURE.kernel_channels, INPUT // 4, INPUT // 4))
        target = make_target([], [], exhaustive)
        return float(loss(lambda _: raw, torch.zeros(1, 3, INPUT, INPUT), [target])["category"])  # type: ignore[arg-type]

    assert category_loss_of(3.0, exhaustive=False) == category_loss_of(-9.0, exhaustive=False)
    assert category_loss_of(3.0, exhaustive=True) > category_loss_of(-9.0, exhaustive=True)
