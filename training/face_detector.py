"""Train the face detector: ``python -m training.face_detector --backbone mobilenet_v2-b0353104.pth``."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from torchvision.ops import generalized_box_iou_loss

from deployments.models.face_mask.detector import STRIDES, FaceDetector, LevelOutput, cell_centres, decode_boxes
from training.augment import photometric, random_window
from training.data import WITH_MASK, Picture, load, load_without_people
from training.loop import Draw, EpochSampler, begin, options, train

INPUT = 416
FACE_SIZES = ((0, 28), (28, 72), (72, 176), (176, 10_000))
"""Geometric mean side in input pixels of the faces that each level learns."""
SMALLEST_FACE = 6.0
"""Faces with a longer side below this many input pixels are neither positive nor negative."""
MOSAIC_SHARE = 0.3
"""How often a crop is put together from four pictures."""
NOBODY_WEIGHT = 0.4
"""How often a picture without people is drawn."""
BARE_WEIGHT = 2.0
"""How much more often pictures with bare faces are drawn: one face in five is bare, and they are missed most."""


class FaceCrops(Dataset):
    """Random crops at random scales; targets are boxes float32 [K, 4] in the crop's pixels."""

    def __init__(self, pictures: list[Picture], seed: int) -> None:
        self.pictures, self.seed = pictures, seed

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, draw: Draw) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        rng = np.random.default_rng((self.seed, *draw))
        if rng.random() < MOSAIC_SHARE:
            others = rng.integers(len(self.pictures), size=3)
            image, boxes = mosaic(rng, [self.pictures[k] for k in (draw.index, *others)])
        else:
            image, boxes = crop(rng, self.pictures[draw.index], INPUT)
        return photometric(rng, image), boxes


def crop(rng: np.random.Generator, picture: Picture, size: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A random window [size, size, 3] at a random scale, small ones at smaller scales, and the boxes whose centres lie
    in it."""
    height, width = picture.image.shape[:2]
    longer_side = 960 * float(np.sqrt(size / INPUT) * np.exp(rng.uniform(np.log(0.4), np.log(1.6))))
    scale = longer_side / max(height, width)
    focus = None
    if len(picture.boxes):
        if rng.random() < 0.12:
            largest = (picture.boxes[:, 2:] - picture.boxes[:, :2]).max()
            scale = min(float(rng.uniform(100, 360) * size / INPUT / largest), 4.0)
        focus = picture.boxes[rng.integers(len(picture.boxes))]
    window = random_window(rng, height, width, size, scale, focus)
    boxes = window.move_boxes(picture.boxes)
    inside = (boxes[:, :2] + boxes[:, 2:]) / 2
    return window.crop(picture.image), boxes[((inside > 0) & (inside < size)).all(axis=1)]


def mosaic(rng: np.random.Generator, pictures: list[Picture]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Windows of four pictures in one crop (Bochkovskiy et al., YOLOv4, 2020): many surroundings at once."""
    half = INPUT // 2
    image = np.zeros((INPUT, INPUT, 3), np.uint8)
    boxes = []
    for picture, (left, top) in zip(pictures, ((0, 0), (half, 0), (0, half), (half, half)), strict=True):
        image[top : top + half, left : left + half], found = crop(rng, picture, half)
        boxes.append(found.clip(0, half) + np.array([left, top] * 2, np.float32))
    return image, np.concatenate(boxes)


def assign(boxes: Tensor, level: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Which cells of a level learn which face.

    Returns index int64 [h, w] into boxes (-1 for none) and ignored bool [h, w]. A cell learns a face of the level's
    sizes if it lies in the box and within one and a half cells of the centre; the smaller face wins.
    """
    stride = STRIDES[level]
    index = torch.full((height, width), -1, device=boxes.device)
    ignored = torch.zeros(height, width, dtype=torch.bool, device=boxes.device)
    if len(boxes) == 0:
        return index, ignored
    centres = cell_centres(height, width, stride, boxes.device)[:, :, None]
    sides = boxes[:, 2:] - boxes[:, :2]
    size = sides.prod(dim=1).sqrt()
    inside = ((centres > boxes[:, :2]) & (centres < boxes[:, 2:])).all(-1)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    near = ((centres - middle).abs() < (sides * 0.25).clamp(min=stride * 0.75)).all(-1)
    low, high = FACE_SIZES[level]
    tiny = sides.amax(1) < SMALLEST_FACE
    learns = inside & near & (size >= low) & (size < high) & ~tiny
    # A face just outside the level's range may be answered here without blame.
    ignored = (inside & near & ((size >= low * 0.75) & (size < high * 1.33) | tiny)).any(-1)
    area = torch.where(learns, size, torch.inf)
    smallest, which = area.min(-1)
    found = torch.isfinite(smallest)
    index[found] = which[found]
    return index, ignored & ~found


def loss(
    model: Callable[[Tensor], list[LevelOutput]], images: Tensor, targets: list[NDArray[np.float32]]
) -> dict[str, Tensor]:
    """Quality focal loss (Li et al., NeurIPS 2020) on the face logit and generalised IoU loss on the box."""
    levels = model(images)
    logits, qualities, ignored, predicted, wanted = [], [], [], [], []
    for level, output in enumerate(levels):
        boxes = decode_boxes(output, STRIDES[level])
        height, width = boxes.shape[1:3]
        for n, target in enumerate(targets):
            truth = torch.from_numpy(target).to(images.device)
            index, skip = assign(truth, level, height, width)
            found = index >= 0
            quality = torch.zeros(height, width, device=images.device)
            if found.any():
                predicted.append(boxes[n][found])
                wanted.append(truth[index[found]])
                with torch.no_grad():
                    quality[found] = aligned_iou(predicted[-1], wanted[-1])
            logits.append(output.logits[n].flatten())
            qualities.append(quality.flatten())
            ignored.append(skip.flatten())
    logit, quality, keep = torch.cat(logits), torch.cat(qualities), ~torch.cat(ignored)
    positives = max(1, sum(len(each) for each in wanted))
    weight = (logit.sigmoid() - quality).abs().square()
    focal = (F.binary_cross_entropy_with_logits(logit, quality, reduction="none") * weight * keep).sum() / positives
    if not wanted:
        return {"face": focal}
    giou = generalized_box_iou_loss(torch.cat(predicted), torch.cat(wanted), reduction="mean")
    return {"face": focal, "box": 2.0 * giou}


def aligned_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of box pairs, [K, 4] and [K, 4] to [K]."""
    shared = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    areas = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1)
    return shared / (areas - shared).clamp(min=1e-6)


def main() -> None:
    """Train; ``python -m training.export face_mask`` takes the result from ``runs/face_detector.pt``."""
    arguments = options("Train the face detector.", epochs=12, batch=8, learning_rate=1.2e-3)
    model = FaceDetector()
    nn.init.constant_(model.face.bias, -4.6)
    begin(model, arguments, "detector.")
    model.backbone.features[:3].requires_grad_(False)
    pictures, nobody = load("facemask/kaggle853", "train"), load_without_people()
    weights = [BARE_WEIGHT if (picture.labels != WITH_MASK).any() else 1.0 for picture in pictures]
    pictures += nobody
    weights += [NOBODY_WEIGHT] * len(nobody)
    sampler = EpochSampler(len(pictures), arguments.seed, torch.tensor(weights), draws=640)
    train("face_detector", model, FaceCrops(pictures, arguments.seed), loss, arguments, sampler)


if __name__ == "__main__":
    main()
