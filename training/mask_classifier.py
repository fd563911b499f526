"""Train the mask classifier: ``python -m training.mask_classifier --backbone mobilenet_v2-b0353104.pth``."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from deployments.models.face_mask.classifier import CROP_MARGIN, CROP_SIZE, MaskClassifier
from training.augment import photometric
from training.data import Picture, load
from training.loop import EpochSampler, load_backbone, options, train

WITH_MASK = 1
"""The set's category id of a mask worn properly; a mask below nose or chin counts as none."""


class FaceCrops(Dataset):
    """One jittered crop a labelled face; targets are 1.0 for a mask, else 0.0."""

    def __init__(self, pictures: list[Picture], seed: int) -> None:
        self.faces = [(p, box, label) for p in pictures for box, label in zip(p.boxes, p.labels, strict=True)]
        self.seed, self.draw = seed, 0

    def __len__(self) -> int:
        return len(self.faces)

    def balance(self) -> Tensor:
        """Sampling weights that show masks and bare faces equally often."""
        masked = torch.tensor([float(label == WITH_MASK) for _, _, label in self.faces])
        return torch.where(masked > 0, 0.5 / masked.sum(), 0.5 / (1 - masked).sum())

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], float]:
        self.draw += 1
        rng = np.random.default_rng((self.seed, index, self.draw))
        picture, box, label = self.faces[index]
        side = float((box[2:] - box[:2]).max())
        half = side * CROP_MARGIN / 2 * rng.uniform(0.85, 1.2)
        centre = (box[:2] + box[2:]) / 2 + rng.uniform(-0.1, 0.1, 2) * side
        crop = cut(picture.image, centre, half)
        if rng.random() < 0.25 and side > 24:
            small = int(rng.integers(14, max(15, min(40, int(side)))))
            crop = cv2.resize(cv2.resize(crop, (small, small), interpolation=cv2.INTER_AREA), (CROP_SIZE, CROP_SIZE))
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        angle = float(rng.normal(0, 8))
        turn = cv2.getRotationMatrix2D((CROP_SIZE / 2, CROP_SIZE / 2), angle, 1.0)
        crop = cv2.warpAffine(np.ascontiguousarray(crop), turn, (CROP_SIZE, CROP_SIZE), borderMode=cv2.BORDER_REFLECT)
        return photometric(rng, crop), float(label == WITH_MASK)


def cut(image: NDArray[np.uint8], centre: NDArray[np.float32], half: float) -> NDArray[np.uint8]:
    """A square of half side ``half`` around ``centre`` (x, y), resized to CROP_SIZE; grey outside the picture, which is
    close to the 0 that the served crop has there after normalisation."""
    scale = CROP_SIZE / (2 * half)
    if scale < 0.5:
        image = cv2.resize(image, None, fx=scale * 2, fy=scale * 2, interpolation=cv2.INTER_AREA)
        centre, scale = centre * scale * 2, 0.5
    shift = CROP_SIZE / 2 - centre * scale
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)
    return cv2.warpAffine(image, matrix, (CROP_SIZE, CROP_SIZE), flags=cv2.INTER_AREA, borderValue=(124, 116, 104))


def loss(model: nn.Module, images: Tensor, targets: list[float]) -> dict[str, Tensor]:
    """Binary cross entropy with a little label smoothing, since some labels are wrong."""
    wanted = torch.tensor(targets) * 0.96 + 0.02
    return {"mask": F.binary_cross_entropy_with_logits(model(images), wanted)}


def main() -> None:
    """Train; the result is ``runs/mask_classifier.safetensors``."""
    from safetensors.torch import save_file

    arguments = options("Train the mask classifier.", epochs=10, batch=32)
    model = MaskClassifier()
    load_backbone(model.backbone, arguments.backbone)
    faces = FaceCrops(load("facemask/kaggle853", "train"), arguments.seed)
    sampler = EpochSampler(len(faces), arguments.seed, faces.balance())
    trained = train("mask_classifier", model, faces, loss, arguments, 6e-4, sampler)
    save_file(
        {k: v.contiguous() for k, v in trained.state_dict().items()}, arguments.runs / "mask_classifier.safetensors"
    )


if __name__ == "__main__":
    main()
