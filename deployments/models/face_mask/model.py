"""Both stages together: find the faces, cut them from the best pixels there are, classify them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from deployments.calls import Item, MaskDetectionOptions
from deployments.engines.equip import Example
from deployments.imaging.resize import resize
from deployments.imaging.spec import KeepRatio
from deployments.models.card import ModelCard
from deployments.models.device import Normalizer, resized_planes, tensor_of, to_cpu
from deployments.models.face_mask.classifier import CROP_SIZE, FaceClassifier, Verdict, crop_faces, refine
from deployments.models.face_mask.detector import FaceDetector, detect, one_box_a_face
from deployments.results import Box, Face

LOWEST_THRESHOLD = 0.02
"""Faces below this score are never answered, whatever a request asks."""
STRIDE = 32
"""The detector's input is padded to multiples of this."""
MOST_FACES = 400
"""Faces a picture, best first: bounds the second stage's time."""
CROPS_AT_ONCE = 32
"""Faces that the second stage sees together: bounds its memory."""


class Network(BaseModel):
    """Arguments of this architecture in a model card."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    detector_side: int = 640
    """Longer side in pixels of the picture as the detector sees it; smaller pictures are enlarged."""


@dataclass(frozen=True, slots=True)
class Batch:
    """pictures: uint8 [3, H, W] each; small: float [N, 3, h, w], normalised, for the detector; thresholds: the least
    face score that each picture's request asks for."""

    pictures: list[Tensor]
    small: Tensor
    small_sizes: list[tuple[int, int]]
    thresholds: list[float]


class RawFaces(NamedTuple):
    """boxes: float32 [K, 4] in pixels of the image sent; face_scores and mask_probabilities: float32 [K]."""

    boxes: Tensor
    face_scores: Tensor
    mask_probabilities: Tensor


class FaceMaskModel:
    """The face-mask model of a card, on a device."""

    def __init__(self, card: ModelCard, weights: Path, device: torch.device) -> None:
        self.card = card
        self.device = device
        self.network = Network.model_validate(card.network)
        self.normalize = Normalizer(card.image, device)
        self.resize = KeepRatio(
            rule="keep_ratio", short_side=self.network.detector_side, long_side=self.network.detector_side
        )
        self.detector, self.classifier = FaceDetector(), FaceClassifier()
        self.lanes = 1
        state = load_file(weights)
        for prefix, part in (("detector.", self.detector), ("classifier.", self.classifier)):
            part.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
            part.to(device=device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def examples(self, images: Tensor) -> list[Example]:
        """Both stages."""
        crops = F.interpolate(images, size=CROP_SIZE, mode="bilinear")
        return [(self.detector, (images,)), (self.classifier, (crops,))]

    def detector_size(self, item: Item) -> tuple[int, int]:
        """Height and width of the picture as the detector sees it, before padding."""
        height, width = self.resize.apply(item.image.shape[0], item.image.shape[1])
        return max(1, height), max(1, width)

    def padded_shape(self, item: Item) -> tuple[int, int]:
        """The detector's padded input."""
        height, width = self.detector_size(item)
        return -(-height // STRIDE) * STRIDE, -(-width // STRIDE) * STRIDE

    @torch.inference_mode()
    def collate(self, items: list[Item]) -> Batch:
        """Send the pictures to the device once; make the detector's smaller ones there."""
        pictures = [tensor_of(item.image, self.device) for item in items]
        small_sizes = [self.detector_size(item) for item in items]
        small = torch.zeros(len(items), 3, *self.padded_shape(items[0]), device=self.device)
        for item, slot, picture, (h, w) in zip(items, small, pictures, small_sizes, strict=True):
            slot[:, :h, :w] = self.normalize(self._resized(item, picture, h, w))[0]
        return Batch(pictures, small, small_sizes, [self._threshold(item) for item in items])

    @torch.inference_mode()
    def run(self, batch: Batch) -> list[RawFaces]:
        """Detect in the small pictures, classify crops of the large ones."""
        found = detect(self.detector(batch.small), min(batch.thresholds))
        boxes, scores, limits = [], [], []
        pictures = zip(batch.pictures, batch.small_sizes, batch.thresholds, strict=True)
        for n, (picture, (h, w), threshold) in enumerate(pictures):
            height, width = picture.shape[1:]
            # Only faces that are asked for reach the second stage: a crowd has many doubtful ones.
            mine = ((found.image == n) & (found.scores >= threshold)).nonzero()[:MOST_FACES, 0]
            scale = torch.tensor([width / w, height / h] * 2, device=self.device)
            limits.append(torch.tensor([width, height] * 2, device=self.device))
            boxes.append((found.boxes[mine] * scale).clamp(min=0).minimum(limits[-1]))
            scores.append(found.scores[mine])
        verdicts = self._second_stage(batch, boxes)
        results = []
        for box, score, verdict, limit, threshold in zip(
            boxes, scores, verdicts, limits, batch.thresholds, strict=True
        ):
            # Both stages must see a face. The product is at most the first stage's score, so none is missed above.
            score = score * verdict.face.sigmoid()
            box = refine(box, verdict.offsets).clamp(min=0).minimum(limit)
            keep = one_box_a_face(box, score)
            keep = keep[score[keep] >= threshold]
            results.append(RawFaces(box[keep], score[keep], verdict.mask[keep].sigmoid()))
        return to_cpu(results)

    def _resized(self, item: Item, picture: Tensor, height: int, width: int) -> Tensor:
        """A picture as the detector sees it, grey levels [1, 3, height, width]; on a GPU hardly any is off by 1."""
        if self.device.type == "cpu":
            return tensor_of(resize(item.image, height, width, "antialiased_bilinear"), self.device)[None]
        return resized_planes(picture[None], height, width)

    def _second_stage(self, batch: Batch, boxes: list[Tensor]) -> list[Verdict]:
        """What the second stage says of each picture's boxes, float32."""
        counts = [len(each) for each in boxes]
        if not sum(counts):
            none = torch.zeros(0, device=self.device)
            return [Verdict(none, none, none.view(0, 4))] * len(boxes)
        verdicts = [self.classifier(crops) for crops in gathered(self._crops(batch.pictures, boxes), CROPS_AT_ONCE)]
        parts = (torch.split(torch.cat(part).float(), counts) for part in zip(*verdicts, strict=True))
        return [Verdict(*each) for each in zip(*parts, strict=True)]

    def _crops(self, pictures: list[Tensor], boxes: list[Tensor]) -> Iterator[Tensor]:
        """The second stage's input of each box, picture by picture: float [K, 3, CROP_SIZE, CROP_SIZE], K few."""
        for picture, mine in zip(pictures, boxes, strict=True):
            for some in torch.split(mine, CROPS_AT_ONCE) if len(mine) else ():
                yield crop_faces(picture, some, self.normalize)

    def finish(self, item: Item, raw: RawFaces) -> list[Face]:
        """Faces in pixels of the original image, best first."""
        scale = torch.tensor([item.call.width / item.image.shape[1], item.call.height / item.image.shape[0]] * 2)
        faces = []
        rows = zip((raw.boxes * scale).tolist(), raw.face_scores.tolist(), raw.mask_probabilities.tolist(), strict=True)
        for sides, score, probability in rows:
            box = Box(*sides)
            if box.area <= 0:
                continue
            if probability >= 0.5:
                faces.append(Face(box, score, "MASK", probability))
            else:
                faces.append(Face(box, score, "NO MASK", 1 - probability))
        return faces

    def _threshold(self, item: Item) -> float:
        options = item.call.options
        assert isinstance(options, MaskDetectionOptions)
        asked = self.card.thresholds["face_threshold"] if options.face_threshold is None else options.face_threshold
        return max(asked, LOWEST_THRESHOLD)


def gathered(parts: Iterable[Tensor], most: int) -> Iterator[Tensor]:
    """Tensors [K, ...] joined along their first axis as long as that stays within ``most``."""
    together: list[Tensor] = []
    for part in parts:
        if together and sum(map(len, together)) + len(part) > most:
            yield torch.cat(together)
            together = []
        together.append(part)
    if together:
        yield torch.cat(together)
