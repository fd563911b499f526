"""Train the embedded SOLOv2: ``python -m training.solov2 --backbone mobilenet_v2-b0353104.pth``."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from deployments.models.solov2.config import Architecture
from deployments.models.solov2.network import RawOutput, Solov2
from training.augment import photometric, random_window
from training.data import Picture, coco_categories, load
from training.loop import EpochSampler, load_backbone, options, train

INPUT = 256
"""Side of a crop in pixels, but for the last epochs (``--input 320``, then 384, the served size)."""
ARCHITECTURE = Architecture(
    backbone="mobilenet_v2",
    fpn_channels=96,
    head_channels=96,
    head_convolutions=2,
    kernel_channels=64,
    mask_hidden_channels=64,
    grids=(32, 24, 16, 12),
)
SCALE_RANGES = ((1, 56), (36, 112), (72, 208), (144, 2048))
"""Geometric mean side in input pixels of the objects that each level learns, overlapping as in the paper."""
CENTRE = 0.2
"""Share of an object's box around its centre whose cells learn it."""
MOST_POSITIVES = 160
"""Cells a picture whose masks are compared: memory is bounded, a random choice is fair."""
PERSON = 0
SETS = (("instances/coco_oneperson", 1.0), ("instances/coco_mix", 2.2), ("instances/ccp_person", 0.25))
"""Each set with how often a picture of it is drawn."""
PASTE_SHARE = 0.6
"""How often people of another picture are pasted in."""
BESIDE_SHARE = 0.6
"""How often pasted people come to stand close to one who is there."""
Sample = tuple[NDArray[np.uint8], list[int], list[NDArray[np.uint8]]]
"""uint8 RGB [S, S, 3], label ids, and a uint8 0/1 mask [S, S] for each."""


@dataclass(frozen=True)
class Target:
    """labels: int64 [K]; masks: float32 [K, S/4, S/4]; sizes: float32 [K, 2] (height, width) and
    centres: float32 [K, 2] (y, x) in input pixels; exhaustive: whether objects without a mask are background."""

    labels: Tensor
    masks: Tensor
    sizes: Tensor
    centres: Tensor
    exhaustive: bool


class InstanceCrops(Dataset):
    """Random crops at random scales from all sets."""

    def __init__(self, pictures: list[Picture], label_ids: dict[int, int], seed: int, size: int = INPUT) -> None:
        self.pictures, self.label_ids, self.seed, self.size, self.draw = pictures, label_ids, seed, size, 0

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], Target]:
        self.draw += 1
        rng = np.random.default_rng((self.seed, index, self.draw))
        image, labels, masks = self.crop(rng, self.pictures[index], spread=(0.6, 2.0))
        if rng.random() < PASTE_SHARE:
            donor = self.pictures[rng.integers(len(self.pictures))]
            paste(rng, (image, labels, masks), self.crop(rng, donor, spread=(0.4, 1.5)))
        seen = [k for k, mask in enumerate(masks) if np.count_nonzero(mask) >= 24]
        target = make_target(
            [labels[k] for k in seen],
            [masks[k] for k in seen],
            exhaustive="coco_mix" in self.pictures[index].name,
            size=self.size,
        )
        return photometric(rng, image), target

    def crop(self, rng: np.random.Generator, picture: Picture, spread: tuple[float, float]) -> Sample:
        """A random window; ``spread`` is the range of its scale, 1 being the whole picture."""
        height, width = picture.image.shape[:2]
        low, high = np.log(spread)
        scale = self.size / max(height, width) * float(np.exp(rng.uniform(low, high)))
        focus = picture.boxes[rng.integers(len(picture.boxes))] if len(picture.boxes) and rng.random() < 0.7 else None
        window = random_window(rng, height, width, self.size, scale, focus)
        labels, masks = [], []
        for category, mask, crowd in zip(picture.labels, picture.dense_masks(), picture.crowd, strict=True):
            if not crowd:
                labels.append(self.label_ids[int(category)])
                masks.append(window.crop(mask, cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA))
        return window.crop(picture.image), labels, masks


def paste(rng: np.random.Generator, sample: Sample, donor: Sample) -> None:
    """Copy people of another picture over this one, in place, so that the network learns to part people who overlap
    (Simple Copy-Paste, Ghiasi et al., CVPR 2021)."""
    image, labels, masks = sample
    size = image.shape[0]
    donor_image, donor_labels, donor_masks = donor
    people = [k for k, label in enumerate(donor_labels) if label == PERSON and np.count_nonzero(donor_masks[k]) > 100]
    there = [k for k, label in enumerate(labels) if label == PERSON and np.count_nonzero(masks[k]) > 100]
    if not people:
        return
    if there and rng.random() < BESIDE_SHARE:
        move = beside(rng, donor_masks[people[0]], masks[there[rng.integers(len(there))]])
    else:
        dx, dy = rng.integers(-size // 3, size // 3, 2)
        move = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    for k in people[:3]:
        moved = cv2.warpAffine(donor_masks[k], move, (size, size), flags=cv2.INTER_NEAREST) > 0
        pixels = cv2.warpAffine(donor_image, move, (size, size), flags=cv2.INTER_NEAREST)
        image[moved] = pixels[moved]
        for mask in masks:
            mask[moved] = 0
        masks.append(moved.astype(np.uint8))
        labels.append(PERSON)


def beside(rng: np.random.Generator, mask: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float32]:
    """An affine matrix [2, 3] that brings a mask's object to another's side and near its size, so close that they
    mostly touch or overlap."""
    ys, xs = np.nonzero(mask)
    other_ys, other_xs = np.nonzero(other)
    scale = np.clip(np.sqrt(len(other_ys) / len(ys)) * rng.uniform(0.7, 1.3), 0.4, 2.5)
    reach = (np.ptp(xs) * scale + np.ptp(other_xs)) / 2 * rng.uniform(0.35, 1.0) * rng.choice((-1, 1))
    rise = np.ptp(other_ys) * rng.uniform(-0.2, 0.2)
    dx, dy = other_xs.mean() + reach - xs.mean() * scale, other_ys.mean() + rise - ys.mean() * scale
    return np.array([[scale, 0, dx], [0, scale, dy]], np.float32)


def make_target(labels: list[int], masks: list[NDArray[np.uint8]], exhaustive: bool, size: int = INPUT) -> Target:
    """Boxes, centres of mass and quarter-size masks of 0/1 masks [size, size]. A cell on an outline has the share of it
    that is covered: the outline of the enlarged mask then runs between cells, not along them."""
    sizes, centres, small = [], [], []
    for mask in masks:
        ys, xs = np.nonzero(mask)
        sizes.append((ys.max() - ys.min() + 1, xs.max() - xs.min() + 1))
        centres.append((ys.mean() + 0.5, xs.mean() + 0.5))
        small.append(cv2.resize(mask.astype(np.float32), (size // 4, size // 4), interpolation=cv2.INTER_AREA))
    return Target(
        labels=torch.tensor(labels, dtype=torch.int64),
        masks=torch.from_numpy(np.array(small, np.float32).reshape(-1, size // 4, size // 4)),
        sizes=torch.from_numpy(np.array(sizes, np.float32).reshape(-1, 2)),
        centres=torch.from_numpy(np.array(centres, np.float32).reshape(-1, 2)),
        exhaustive=exhaustive,
    )


def assign(target: Target, level: int) -> Tensor:
    """Which cell of a level's grid learns which object: int64 [G, G], -1 for none; the smaller object wins."""
    grid, size = ARCHITECTURE.grids[level], target.masks.shape[-1] * 4
    index = torch.full((grid, grid), -1)
    scale = target.sizes.prod(dim=1).sqrt()
    low, high = SCALE_RANGES[level]
    for k in scale.argsort(descending=True).tolist():
        if not low <= float(scale[k]) <= high or float(target.masks[k].sum()) < 2:
            continue
        middle = target.centres[k] / size * grid
        reach = target.sizes[k] * CENTRE / 2 / size * grid
        home = middle.floor()
        first = torch.maximum((middle - reach).floor(), home - 1).clamp(0, grid - 1).long()
        last = torch.minimum((middle + reach).floor(), home + 1).clamp(0, grid - 1).long()
        index[first[0] : last[0] + 1, first[1] : last[1] + 1] = k
    return index


def loss(model: nn.Module, images: Tensor, targets: list[Target]) -> dict[str, Tensor]:
    """Focal loss on the categories and Dice loss on the masks (times 3), as in the paper; and, which the paper has not,
    cross-entropy on the masks (times 3), which is least where an outline's cells have the share that is covered."""
    raw: RawOutput = model(images)
    focal = images.new_zeros(())
    dice: list[Tensor] = []
    outline: list[Tensor] = []
    positives = 0
    for n, target in enumerate(targets):
        kernels, objects = [], []
        for level in range(len(ARCHITECTURE.grids)):
            index = assign(target, level)
            found = index >= 0
            positives += int(found.sum())
            focal = focal + category_loss(raw.category_logits[level][n], index, target)
            kernels.append(raw.kernels[level][n][:, found])
            objects.append(index[found])
        kernel, chosen = torch.cat(kernels, dim=1), torch.cat(objects)
        if len(chosen) > MOST_POSITIVES:
            some = torch.randperm(len(chosen))[:MOST_POSITIVES]
            kernel, chosen = kernel[:, some], chosen[some]
        if len(chosen):
            logits = torch.einsum("ck,chw->khw", kernel, raw.mask_features[n]).flatten(1)
            wanted = target.masks[chosen].flatten(1)
            dice.append(dice_loss(logits.sigmoid(), wanted))
            outline.append(F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(dim=1))
    losses = {"category": focal / (positives + 1)}
    if dice:
        losses["mask"] = 3.0 * torch.cat(dice).mean()
        losses["outline"] = 3.0 * torch.cat(outline).mean()
    return losses


def category_loss(logits: Tensor, index: Tensor, target: Target) -> Tensor:
    """Sum of the focal loss (alpha 0.25, gamma 2) over a level; logits [classes, G, G]. Where only people are labelled,
    only the person channel speaks."""
    wanted = torch.zeros_like(logits)
    found = index >= 0
    if found.any():
        ys, xs = torch.nonzero(found, as_tuple=True)
        wanted[target.labels[index[found]], ys, xs] = 1.0
    if not target.exhaustive:
        logits, wanted = logits[PERSON], wanted[PERSON]
    probability = logits.sigmoid()
    error = torch.where(wanted > 0, 1 - probability, probability)
    alpha = torch.where(wanted > 0, 0.25, 0.75)
    return (F.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * alpha * error.square()).sum()


def dice_loss(soft: Tensor, wanted: Tensor) -> Tensor:
    """1 - Dice coefficient with squared denominators (V-Net, Milletari et al. 2016); [K, P] and [K, P] to [K]."""
    shared = (soft * wanted).sum(dim=1)
    return 1 - 2 * shared / (soft.square().sum(dim=1) + wanted.square().sum(dim=1) + 1e-3)


def main() -> None:
    """Train; the result is ``runs/solov2_people.safetensors``."""
    from safetensors.torch import save_file

    arguments = options("Train the embedded SOLOv2.", epochs=14, batch=8, input=INPUT, draws=1600)
    model = Solov2(ARCHITECTURE)
    for module in model.mask_head.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.01)
    nn.init.constant_(model.mask_head.conv_cls.bias, -4.6)
    load_backbone(model.backbone, arguments.backbone)
    model.backbone.features[:4].requires_grad_(False)
    label_ids = {category: label for label, (category, _) in enumerate(coco_categories())}
    pictures: list[Picture] = []
    weights: list[float] = []
    for folder, weight in SETS:
        found = load(folder, "train")
        pictures += found
        weights += [weight] * len(found)
    sampler = EpochSampler(len(pictures), arguments.seed, torch.tensor(weights), arguments.draws)
    crops = InstanceCrops(pictures, label_ids, arguments.seed, arguments.input)
    trained = train("solov2_people", model, crops, loss, arguments, 1.2e-3, sampler)
    save_file(
        {k: v.contiguous() for k, v in trained.state_dict().items()}, arguments.runs / "solov2_people.safetensors"
    )


if __name__ == "__main__":
    main()
