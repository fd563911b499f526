"""Make the confidence of a face's label mean what it says: ``python -m training.calibrate``.

Platt scaling (Platt, 1999) of the second stage's mask logit on kaggle853 val, written into the embedded weights: it
costs nothing when serving. Run it once after ``training.export``, with nothing else trained on val.
"""

import argparse

import torch
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from deployments.calls import MaskDetectionOptions
from deployments.models.card import EMBEDDED
from deployments.models.load import load as load_model
from deployments.models.model import Model
from deployments.results import Box
from training.answer import answer
from training.data import WITH_MASK, Picture, load

WEIGHT, BIAS, MASK_ROW = "classifier.head.1.weight", "classifier.head.1.bias", 1
"""Where the second stage's mask logit is made."""


def mask_logits(model: Model, pictures: list[Picture]) -> tuple[Tensor, Tensor]:
    """Of each labelled face that the model finds: its mask logit, and 1.0 where it wears one properly; float64 [K]."""
    logits, masked = [], []
    for picture in track(pictures, description="answering"):
        found = answer(model, picture.image, MaskDetectionOptions())
        for sides, category in zip(picture.boxes, picture.labels, strict=True):
            truth = Box(*map(float, sides))
            best = max(found, key=lambda face: face.box.iou(truth), default=None)
            if best and best.box.iou(truth) >= 0.5:
                probability = best.confidence if best.label == "MASK" else 1 - best.confidence
                logits.append(float(torch.tensor(probability, dtype=torch.float64).logit(eps=1e-7)))
                masked.append(float(category == WITH_MASK))
    return torch.tensor(logits, dtype=torch.float64), torch.tensor(masked, dtype=torch.float64)


def fit(logits: Tensor, truth: Tensor) -> tuple[float, float]:
    """Scale and offset after which a logit is the log odds of the truth, by least cross-entropy; float64 [K] each."""
    parameters = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([parameters], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(parameters[0] * logits + parameters[1], truth)
        loss.backward()
        return loss

    optimizer.step(closure)
    scale, offset = parameters.tolist()
    return scale, offset


def calibrated(weights: dict[str, Tensor], scale: float, offset: float) -> dict[str, Tensor]:
    """The served weights with the mask logit scaled and moved."""
    changed = {key: value.clone() for key, value in weights.items()}
    changed[WEIGHT][MASK_ROW] *= scale
    changed[BIAS][MASK_ROW] = changed[BIAS][MASK_ROW] * scale + offset
    return changed


def main() -> None:
    """Fit, and write the embedded weights anew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = load_model("face_mask", "mask_detection", "cpu", arguments.threads)
    logits, masked = mask_logits(model, load("facemask/kaggle853", "val"))
    scale, offset = fit(logits, masked)
    file = EMBEDDED / model.card.weights
    save_file(calibrated(load_file(file), scale, offset), file)
    print(f"{len(logits)} faces: mask logit times {scale:.3f}, plus {offset:.3f}")


if __name__ == "__main__":
    main()
