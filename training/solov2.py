"""Train the embedded SOLOv2: ``python -m training.solov2 --start FILE``, from the embedded solov2_people.safetensors.

On a GPU: ``--device cuda --precision bfloat16 --workers 16 --batch 64 --draws 64000 --epochs 1000 --minutes 9``.
Without weights to go on from: ``--backbone mobilenet_v2-b0353104.pth``.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import default_collate

from deployments.models.solov2.network import RawOutput, Solov2
from training.data import coco_categories, load
from training.instance_crops import InstanceCrops
from training.instance_targets import ARCHITECTURE, Target
from training.loop import EpochSampler, begin, options, train

INPUT = 448
"""Side of a crop in pixels: the served one."""
SETS = (
    ("instances/coco_oneperson", 1.0),
    ("instances/coco_mix", 2.0),
    ("instances/cocopool", 2.0),
    ("instances/voc07", 2.0),
    ("instances/cocoval_boxes", 0.8),
    ("instances/yq_cctv", 0.3),
    ("instances/ccp_person", 0.25),
    ("instances/borrat", 0.15),
)
"""Each set with how often a picture of it is drawn."""
OUTSIDE = 0.02
"""Share of a cell below which it lies outside of a box."""


def collate(samples: list[tuple]) -> tuple[Tensor, Target]:
    """Stack pictures and targets."""
    images = torch.stack([torch.from_numpy(image) for image, _ in samples])
    return images, default_collate([target for _, target in samples])


def loss(model: Callable[[Tensor], RawOutput], images: Tensor, targets: Target) -> dict[str, Tensor]:
    """Focal loss on the categories and Dice loss on the masks (times 3), as in the paper; and, which the paper has not,
    cross-entropy on the masks (times 3), which is least where an outline's cells have the share that is covered.

    Of an object whose box alone is known, the mask must reach the box's four sides, and stay inside.
    """
    raw = model(images)
    logits = torch.cat([level.flatten(2) for level in raw.category_logits], dim=2).float()
    kernels = torch.cat([level.flatten(2) for level in raw.kernels], dim=2).float()
    features = raw.mask_features.float()
    losses = {"category": category_loss(logits, targets)}
    compared = targets.cells >= 0
    picked = targets.cells.clamp(min=0)[:, None].expand(-1, kernels.shape[1], -1)
    masks = torch.einsum("nck,nchw->nkhw", kernels.gather(2, picked), features)[compared]
    picture = compared.nonzero()[:, 0]
    chosen = targets.objects[compared]
    wanted = targets.masks[picture, chosen].float() / 255
    outlined = targets.outlined[picture, chosen]
    return losses | outline_losses(masks[outlined], wanted[outlined]) | box_losses(masks[~outlined], wanted[~outlined])


def category_loss(logits: Tensor, targets: Target) -> Tensor:
    """Sum of the focal loss (alpha 0.25, gamma 2) a positive cell; logits [N, classes, cells]. Where a class is not
    labelled, nothing is wrong."""
    wanted = targets.wanted.float()
    probability = logits.sigmoid()
    error = torch.where(targets.wanted, 1 - probability, probability)
    alpha = torch.where(targets.wanted, 0.25, 0.75)
    each = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * alpha * error.square()
    return (each * targets.counted).sum() / (targets.wanted.any(dim=1).sum() + 1)


def outline_losses(logits: Tensor, wanted: Tensor) -> dict[str, Tensor]:
    """Of masks [K, h, w] whose outline is known; zero where there are none."""
    if not len(logits):
        return {"mask": logits.sum(), "outline": logits.sum()}
    return {
        "mask": 3.0 * dice_loss(logits.sigmoid().flatten(1), wanted.flatten(1)).mean(),
        "outline": 3.0 * F.binary_cross_entropy_with_logits(logits, wanted),
    }


def box_losses(logits: Tensor, boxes: Tensor) -> dict[str, Tensor]:
    """Of masks [K, h, w] whose box alone is known, given as a mask: their projections on both axes are the box's
    (BoxInst, Tian et al., CVPR 2021), and nothing lies outside. Zero where there are none."""
    if not len(logits):
        return {"projection": logits.sum(), "outside": logits.sum()}
    soft = logits.sigmoid()
    projections = [dice_loss(soft.amax(dim=axis), boxes.amax(dim=axis)) for axis in (1, 2)]
    outside = F.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits), reduction="none")
    return {
        "projection": torch.cat(projections).mean(),
        "outside": 3.0 * (outside * (boxes < OUTSIDE)).mean(),
    }


def dice_loss(soft: Tensor, wanted: Tensor) -> Tensor:
    """1 - Dice coefficient with squared denominators (V-Net, Milletari et al. 2016); [K, P] and [K, P] to [K]."""
    shared = (soft * wanted).sum(dim=1)
    return 1 - 2 * shared / (soft.square().sum(dim=1) + wanted.square().sum(dim=1) + 1e-3)


def main() -> None:
    """Train; ``python -m training.export solov2_people`` takes the result from ``runs/solov2_people.pt``."""
    arguments = options("Train the embedded SOLOv2.", epochs=14, batch=8, learning_rate=1.2e-3, input=INPUT, draws=1600)
    model = Solov2(ARCHITECTURE)
    for module in model.mask_head.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.01)
    nn.init.constant_(model.mask_head.conv_cls.bias, -4.6)
    begin(model, arguments)
    model.backbone.features[:2].requires_grad_(False)
    label_ids = {category: label for label, (category, _) in enumerate(coco_categories())}
    sets = [(load(folder, "train"), weight) for folder, weight in SETS]
    pictures = [picture for found, _ in sets for picture in found]
    weights = torch.tensor([weight for found, weight in sets for _ in found])
    sampler = EpochSampler(len(pictures), arguments.seed, weights, arguments.draws)
    crops = InstanceCrops(pictures, label_ids, arguments.seed, arguments.input)
    train("solov2_people", model, crops, loss, arguments, sampler, collate)


if __name__ == "__main__":
    main()
