import numpy as np
import torch

from training.instance_targets import (
    ARCHITECTURE,
    CELLS,
    CLASSES,
    MOST_OBJECTS,
    MOST_POSITIVES,
    SCALE_RANGES,
    Target,
    assign,
    covered_cells,
    make_target,
)

SIZE = 256
ALL = np.ones(CLASSES, bool)


def square(left: int, top: int, side: int) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


def levels(cells: np.ndarray) -> list[np.ndarray]:
    ends = np.cumsum([grid * grid for grid in ARCHITECTURE.grids])[:-1]
    return [part.reshape(grid, grid) for part, grid in zip(np.split(cells, ends), ARCHITECTURE.grids, strict=True)]


def target_of(*masks: np.ndarray, counted: np.ndarray = ALL, crowds: list | None = None) -> Target:
    rng = np.random.default_rng(0)
    labels, outlined = list(range(len(masks))), [k % 2 == 0 for k in range(len(masks))]
    return make_target(rng, labels, list(masks), outlined, crowds or [], counted, SIZE)


def test_an_object_is_learnt_at_its_centre_on_the_levels_of_its_size() -> None:
    found = levels(assign([square(64, 96, 64)], SIZE))
    for index, grid, (low, high) in zip(found, ARCHITECTURE.grids, SCALE_RANGES, strict=True):
        if low <= 64 <= high:
            assert index[int(128 / SIZE * grid), int(96 / SIZE * grid)] == 0
            assert 1 <= (index >= 0).sum() <= 9
        else:
            assert (index >= 0).sum() == 0


def test_the_smaller_object_wins_a_shared_cell() -> None:
    found = levels(assign([square(60, 60, 100), square(85, 85, 50)], SIZE))
    shared = [index for index, (low, high) in zip(found, SCALE_RANGES, strict=True) if low <= 50 and high >= 100]
    assert shared
    for index in shared:
        cell = int(110 / SIZE * len(index))
        assert index[cell, cell] == 1


def test_a_cell_on_an_outline_is_worth_the_share_of_it_that_is_covered() -> None:
    masks = target_of(square(65, 64, 30)).masks
    assert masks[0, 16, 15:25].tolist() == [0, 191, 255, 255, 255, 255, 255, 255, 191, 0]


def test_the_cells_compared_are_those_that_answer() -> None:
    target = target_of(square(20, 20, 60), square(150, 140, 60))
    cells = target.cells[target.cells >= 0]
    assert sorted(cells.tolist()) == torch.nonzero(target.wanted.any(dim=0))[:, 0].tolist()
    for cell, label in zip(cells, target.objects, strict=False):
        assert target.wanted[:, cell].nonzero()[:, 0].tolist() == [int(label)]
    assert target.outlined[:2].tolist() == [True, False]
    assert target.counted.all()


def test_nothing_is_wrong_in_a_class_that_is_not_labelled_nor_in_a_crowd() -> None:
    only_people = np.arange(CLASSES) == 0
    crowd = square(128, 0, 128)
    target = target_of(square(20, 20, 60), counted=only_people, crowds=[(0, crowd)])
    assert not target.counted[1:].any()
    free = torch.from_numpy(~covered_cells(crowd))
    assert torch.equal(target.counted[0], free)
    assert 0 < int(free.sum()) < CELLS


def test_shapes_are_the_same_for_any_number_of_objects() -> None:
    none, many = target_of(), target_of(*(square(k, k, 90) for k in range(MOST_OBJECTS)))
    assert [part.shape for part in none] == [part.shape for part in many]
    assert len(none.cells) == MOST_POSITIVES
    assert (none.cells == -1).all()
    assert not none.wanted.any()
