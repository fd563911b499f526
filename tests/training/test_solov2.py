import torch
from torch import Tensor
from torch.utils.data import default_collate

from deployments.models.solov2.network import RawOutput
from training.instance_targets import ARCHITECTURE, CELLS, CLASSES, MOST_OBJECTS, MOST_POSITIVES, Target
from training.solov2 import box_losses, dice_loss, loss

QUARTER = 24


def target(wanted: dict[int, int] | None = None, counted: bool = True, outlined: bool = True) -> Target:
    """wanted: cell to label; each has object 0, which covers the middle of the picture."""
    answers = torch.zeros(CLASSES, CELLS, dtype=torch.bool)
    cells = torch.full((MOST_POSITIVES,), -1)
    for k, (cell, label) in enumerate((wanted or {}).items()):
        answers[label, cell] = True
        cells[k] = cell
    masks = torch.zeros(MOST_OBJECTS, QUARTER, QUARTER, dtype=torch.uint8)
    masks[0, 8:16, 6:18] = 255
    known = torch.full((MOST_OBJECTS,), outlined)
    everywhere = torch.full((CLASSES, CELLS), counted)
    return Target(answers, everywhere, cells, torch.zeros(MOST_POSITIVES, dtype=torch.int64), masks, known)


def losses(targets: list[Target], category: float = -9.0, mask: Tensor | None = None) -> dict[str, float]:
    """Of a network that answers the same logit for every category, and one mask from each of its cells."""
    count = len(targets)
    logits = [torch.full((count, CLASSES, grid, grid), category) for grid in ARCHITECTURE.grids]
    kernels = [torch.zeros(count, ARCHITECTURE.kernel_channels, grid, grid) for grid in ARCHITECTURE.grids]
    for level in kernels:
        level[:, 0] = 1
    features = torch.zeros(count, ARCHITECTURE.kernel_channels, QUARTER, QUARTER)
    if mask is not None:
        features[:, 0] = mask
    raw = RawOutput(logits, kernels, features)
    found = loss(lambda _: raw, torch.zeros(count, 3, 4 * QUARTER, 4 * QUARTER), default_collate(targets))
    return {name: float(value) for name, value in found.items()}


def middle(inside: float = 12.0, outside: float = -12.0) -> Tensor:
    logits = torch.full((QUARTER, QUARTER), outside)
    logits[8:16, 6:18] = inside
    return logits


def test_dice_is_zero_for_the_same_mask_and_one_for_another() -> None:
    a = torch.tensor([[1.0, 1, 0, 0]])
    assert float(dice_loss(a, a)) < 1e-3
    assert float(dice_loss(a, 1 - a)) == 1


def test_unlabelled_objects_are_not_background_where_their_class_is_not_labelled() -> None:
    assert losses([target(counted=False)], category=3.0)["category"] == 0
    assert losses([target()], category=3.0)["category"] > losses([target()])["category"]


def test_the_right_mask_costs_nothing_and_a_wrong_one_does() -> None:
    right = losses([target({5: 0, 900: 3})], mask=middle())
    assert right["mask"] + right["outline"] < 0.01
    wrong = losses([target({5: 0, 900: 3})], mask=middle().roll(6, dims=1))
    assert wrong["mask"] > 1
    assert wrong["outline"] > 1
    assert right["projection"] == right["outside"] == wrong["projection"] == wrong["outside"] == 0


def test_a_box_wants_its_sides_reached_and_nothing_outside() -> None:
    box = torch.zeros(1, QUARTER, QUARTER)
    box[0, 8:16, 6:18] = 1
    cross = torch.full((1, QUARTER, QUARTER), -12.0)
    cross[0, 12, 6:18] = cross[0, 8:16, 12] = 12.0  # reaches all four sides, and fills little of the box
    found = {name: float(value) for name, value in box_losses(cross, box).items()}
    assert found["projection"] < 0.01
    assert found["outside"] < 0.01
    small = {name: float(value) for name, value in box_losses(middle()[None] * (torch.arange(24) < 12), box).items()}
    assert small["projection"] > 0.1
    spilled = {name: float(value) for name, value in box_losses(-cross, box).items()}
    assert spilled["outside"] > 1
    boxed = losses([target({5: 0}, outlined=False)], mask=cross[0])
    assert boxed["mask"] == boxed["outline"] == 0
    assert boxed["projection"] + boxed["outside"] < 0.02


def test_a_batch_costs_what_its_pictures_cost_together() -> None:
    one, two = target({5: 0}), target({700: 2, 701: 2})
    together = losses([one, two], category=-3.0, mask=middle(2.0, -1.0))
    apart = [losses([each], category=-3.0, mask=middle(2.0, -1.0)) for each in (one, two)]
    assert abs(together["category"] * 4 - (apart[0]["category"] * 2 + apart[1]["category"] * 3)) < 0.01
    assert abs(together["mask"] * 3 - (apart[0]["mask"] + 2 * apart[1]["mask"])) < 1e-4
