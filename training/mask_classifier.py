"""Train the second stage: ``python -m training.mask_classifier --start FILE``, from the embedded face_mask.safetensors.

What the detector takes for faces in the training pictures, and is none, is what the second stage learns to refuse. With
``--backbone mobilenet_v2-b0353104.pth`` it begins anew, and the detector is that of ``runs/face_detector.pt``.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset
from torchvision.ops import box_iou, generalized_box_iou_loss

from deployments.models.face_mask.classifier import CROP_MARGIN, CROP_SIZE, FaceClassifier, Verdict, refine
from deployments.models.face_mask.detector import Detections, FaceDetector, detect
from training.augment import photometric
from training.data import INCORRECT, WITH_MASK, WITHOUT_MASK, PackedPicture, Picture, load, load_without_people, pack
from training.export import weights_of
from training.loop import Draw, EpochSampler, begin, normalise, options, train
from training.worn_masks import CHIN, NOSE, PROPER, draw_mask

NOTHING = 0
"""Stands for the set's category id where there is no face."""
DETECTOR_SIDE = 768
LEAST_SCORE = 0.03
"""Boxes below this detector score are of no interest."""
MENDED, MISSED = 0.35, 0.25
"""IoU with a labelled face from which a box is worth mending, and below which it shows none."""
SHARES = {"masked": 0.28, "bare": 0.30, "nothing": 0.42}
"""How often each kind is drawn."""
JITTER = 0.2
"""How far a crop moves from its box, in units of the box's longer side."""
DRAWN = ((PROPER, 0.22), (NOSE, 0.16), (CHIN, 0.08))
"""How often a bare face gets a mask drawn over nose and mouth, or worn wrongly."""
INCORRECT_WEIGHT = 4.0
"""How much more often an incorrectly worn mask is drawn than another face: there are 80 of them."""
FROZEN = 10
"""Blocks of the backbone that stay as they are where a training goes on from served weights."""
SURE_FACE, LARGE_FACE = 0.6, 32.0
"""Score and longer side in pixels from which a face found in a picture that nobody labelled for faces is believed."""
SURROUNDINGS = 3.0
"""What is kept of such a picture: a square of so many times the face's longer side."""


class Place(NamedTuple):
    """Where to cut a picture: around ``box``, float32 [4]; and what is there: a category id and the labelled face's own
    box, or NOTHING and the same box again."""

    picture: Picture
    box: NDArray[np.float32]
    category: int
    face: NDArray[np.float32]
    weight: float = 1.0


class Target(NamedTuple):
    """face and mask: 1.0 or 0.0; box: float32 [4] in pixels of the crop. Only face counts where it is 0."""

    face: float
    mask: float
    box: NDArray[np.float32]


@torch.inference_mode()
def mine(detector: FaceDetector, pictures: list[Picture]) -> list[Place]:
    """What the detector finds: labelled faces where a box meets one well enough to be mended, nothing where it meets
    none. The surer a wrong box, the more it weighs."""
    places = []
    for picture in track(pictures, description="finding what looks like a face"):
        found, scale = seen(detector, picture, LEAST_SCORE)
        boxes = found.boxes / scale
        overlaps = box_iou(boxes, torch.from_numpy(picture.boxes))
        best = overlaps.max(dim=1) if len(picture.boxes) else None
        for k, (box, score) in enumerate(zip(boxes.numpy(), found.scores.tolist(), strict=True)):
            overlap = float(best.values[k]) if best else 0.0
            if best and overlap >= MENDED:
                face = int(best.indices[k])
                places.append(Place(picture, box, int(picture.labels[face]), picture.boxes[face]))
            elif overlap < MISSED:
                places.append(Place(picture, box, NOTHING, box, score))
    return places


def seen(detector: FaceDetector, picture: Picture, threshold: float) -> tuple[Detections, float]:
    """What the detector finds, in pixels of its input, and how much larger that is than the picture."""
    height, width = picture.image.shape[:2]
    scale = DETECTOR_SIDE / max(height, width)
    rule = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(picture.image, (round(width * scale), round(height * scale)), interpolation=rule)
    canvas = np.zeros((1, -(-small.shape[0] // 32) * 32, -(-small.shape[1] // 32) * 32, 3), np.uint8)
    canvas[0, : small.shape[0], : small.shape[1]] = small
    return detect(detector(normalise(torch.from_numpy(canvas))), threshold), scale


@torch.inference_mode()
def found_bare(detector: FaceDetector, classifier: FaceClassifier, pictures: list[PackedPicture]) -> list[Place]:
    """Bare faces of pictures taken before masks were worn, as both stages see them: larger ones than the labelled sets
    have, for masks to be drawn on."""
    places = []
    for packed in track(pictures, description="finding bare faces"):
        picture = packed.unpack()
        found, scale = seen(detector, picture, SURE_FACE)
        boxes = found.boxes / scale
        crops = [cut(picture.image, (box[:2] + box[2:]) / 2, half_side(box)) for box in boxes.numpy()]
        if not crops:
            continue
        verdict = classifier(normalise(torch.from_numpy(np.stack(crops))))
        sure = (found.scores * verdict.face.sigmoid() > SURE_FACE) & (verdict.mask < 0)
        for box in refine(boxes, verdict.offsets)[sure].numpy():
            if (box[2:] - box[:2]).max() >= LARGE_FACE:
                places.append(cut_place(picture, box))
    return places


def cut_place(picture: Picture, face: NDArray[np.float32]) -> Place:
    """A bare face with its surroundings, so that the rest of the picture need not be kept."""
    side = (face[2:] - face[:2]).max() * SURROUNDINGS
    corner = np.maximum((face[:2] + face[2:] - side) / 2, 0).astype(int)
    left, top = corner.tolist()
    image = picture.image[top : top + int(side), left : left + int(side)].copy()
    moved = face - np.tile(corner, 2).astype(np.float32)
    return Place(replace(picture, image=image), moved, WITHOUT_MASK, moved)


class FaceCrops(Dataset):
    """One jittered crop a place."""

    def __init__(self, places: list[Place], seed: int) -> None:
        self.places, self.seed = places, seed

    def __len__(self) -> int:
        return len(self.places)

    def balance(self) -> Tensor:
        """Sampling weights by kind."""
        categories = torch.tensor([place.category for place in self.places])
        weights = torch.tensor([place.weight for place in self.places])
        weights[categories == INCORRECT] *= INCORRECT_WEIGHT
        kinds = {
            "masked": categories == WITH_MASK,
            "bare": (categories != WITH_MASK) & (categories != NOTHING),
            "nothing": categories == NOTHING,
        }
        for kind, members in kinds.items():
            weights[members] *= SHARES[kind] / weights[members].sum()
        return weights

    def __getitem__(self, draw: Draw) -> tuple[NDArray[np.uint8], Target]:
        rng = np.random.default_rng((self.seed, *draw))
        picture, box, category, face, _ = self.places[draw.index]
        side = float((box[2:] - box[:2]).max())
        half = half_side(box) * rng.uniform(0.8, 1.25)
        middle = (box[:2] + box[2:]) / 2 + rng.uniform(-JITTER, JITTER, 2) * side
        crop = cut(picture.image, middle, half)
        scale = CROP_SIZE / (2 * half)
        face = (((face.reshape(2, 2) - middle) * scale) + CROP_SIZE / 2).astype(np.float32)
        masked = category == WITH_MASK
        if category == WITHOUT_MASK:
            chances = [chance for _, chance in DRAWN]
            kind = int(rng.choice(len(DRAWN) + 1, p=[*chances, 1 - sum(chances)]))
            if kind < len(DRAWN):
                outline = DRAWN[kind][0]
                masked = outline is PROPER
                crop = draw_mask(rng, crop, face.flatten(), outline)
        if rng.random() < 0.25 and side > 24:
            small = int(rng.integers(14, max(15, min(40, int(side)))))
            crop = cv2.resize(cv2.resize(crop, (small, small), interpolation=cv2.INTER_AREA), (CROP_SIZE, CROP_SIZE))
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
            face[:, 0] = CROP_SIZE - face[::-1, 0]
        turn = cv2.getRotationMatrix2D((CROP_SIZE / 2, CROP_SIZE / 2), float(rng.normal(0, 8)), 1.0)
        crop = cv2.warpAffine(np.ascontiguousarray(crop), turn, (CROP_SIZE, CROP_SIZE), borderMode=cv2.BORDER_REFLECT)
        face += turn.astype(np.float32) @ np.append(face.mean(axis=0), 1).astype(np.float32) - face.mean(axis=0)
        return photometric(rng, crop), Target(float(category != NOTHING), float(masked), face.flatten())


def half_side(box: NDArray[np.float32]) -> float:
    """Half the side of the square that is cut around a box."""
    return float((box[2:] - box[:2]).max()) * CROP_MARGIN / 2


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


def loss(model: Callable[[Tensor], Verdict], images: Tensor, targets: list[Target]) -> dict[str, Tensor]:
    """Binary cross entropy and generalised IoU loss. Labels of what is a face are smoothed a little, since some are
    wrong; those of what it wears are not: no answer would be surer than the smoothing."""
    verdict = model(images)
    faces = torch.tensor([target.face for target in targets], device=images.device)
    masks = torch.tensor([target.mask for target in targets], device=images.device)
    face = F.binary_cross_entropy_with_logits(verdict.face, faces * 0.96 + 0.02)
    mask = F.binary_cross_entropy_with_logits(verdict.mask, masks, weight=faces, reduction="sum")
    inner = torch.tensor([(1 - 1 / CROP_MARGIN) / 2, (1 + 1 / CROP_MARGIN) / 2]).repeat_interleave(2) * CROP_SIZE
    boxes = refine(inner.to(images.device).expand(len(targets), 4), verdict.offsets.float())
    giou = generalized_box_iou_loss(boxes, torch.from_numpy(np.stack([t.box for t in targets])).to(images.device))
    count = faces.sum().clamp(min=1)
    return {"face": face, "mask": mask / count, "box": (giou * faces).sum() / count}


def main() -> None:
    """Train; ``python -m training.export face_mask`` takes the result from ``runs/mask_classifier.pt``."""
    # In how many pictures wrong faces are sought, and bare ones: all of them take minutes.
    seeking = {"mined": 774, "strangers": 786}
    arguments = options("Train the second stage.", epochs=10, batch=32, learning_rate=6e-4, draws=4800, **seeking)
    choose = random.Random(arguments.seed)
    detector, model = FaceDetector().eval(), FaceClassifier()
    begin(model, arguments, "classifier.")
    pictures = load("facemask/kaggle853", "train")
    places = [Place(p, box, int(label), box) for p in pictures for box, label in zip(p.boxes, p.labels, strict=True)]
    if arguments.start:
        begin(detector, arguments, "detector.")
        # What is left to learn is which cloth lies where, not how to see.
        model.backbone.features[:FROZEN].requires_grad_(False)
        strangers = pack("instances/coco_oneperson", "train")
        places += found_bare(detector, model.eval(), choose.sample(strangers, min(arguments.strangers, len(strangers))))
    else:
        detector.load_state_dict(weights_of(arguments.runs / "face_detector.pt", "last"))
    pictures += load_without_people()
    places += mine(detector, choose.sample(pictures, min(arguments.mined, len(pictures))))
    crops = FaceCrops(places, arguments.seed)
    sampler = EpochSampler(len(crops), arguments.seed, crops.balance(), arguments.draws)
    train("mask_classifier", model, crops, loss, arguments, sampler)


if __name__ == "__main__":
    main()
