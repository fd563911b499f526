"""The instance sets as one small folder, for a machine elsewhere: ``python -m training.pack FOLDER``; there,
MASKGRAPH_DATA names it.

Pictures become AVIF. Of people of whom only the box is known, what the served model outlines is believed where it fits
the box; the others keep their box.
"""

import argparse
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from rich.progress import track
from torchvision.ops import box_iou

from deployments.calls import InstanceSegmentationOptions
from deployments.imaging.spec import KeepRatio
from deployments.models.load import load as load_model
from deployments.models.model import Model
from training.answer import answer
from training.data import DATA, PackedPicture, Picture, pack
from training.solov2 import SETS

QUALITY = 50
"""Of AVIF: a picture of 512 pixels has about 14 kB."""
TEACHER_SIDE = 512
"""Longer side in pixels at which the served model looks, more than when serving."""
LEAST_SCORE, LEAST_OVERLAP = 0.3, 0.8
"""Score of an outline, and IoU of its box with the labelled one, from which it is believed."""


def outlines(model: Model[Any, Any], picture: Picture) -> list[dict | None]:
    """What the model takes each labelled box for, as COCO's runs; None where nothing fits."""
    found = answer(model, picture.image, InstanceSegmentationOptions(score_threshold=LEAST_SCORE))
    people = [instance.mask for instance in found if instance.label == "person"]
    if not people or not len(picture.boxes):
        return [None] * len(picture.boxes)
    corners = torch.tensor(np.array([coco_mask.toBbox(mask) for mask in people]))
    corners[:, 2:] += corners[:, :2]
    overlaps = box_iou(torch.from_numpy(picture.boxes).double(), corners)
    best, which = overlaps.max(dim=1)
    # Two labelled boxes cannot be one person.
    fits = (best >= LEAST_OVERLAP) & (best >= overlaps[:, which].amax(dim=0))
    return [people[k] if fit else None for k, fit in zip(which.tolist(), fits.tolist(), strict=True)]


def smaller(packed: PackedPicture) -> bytes:
    """The picture as AVIF."""
    encoded = io.BytesIO()
    Image.fromarray(packed.unpack().image).save(encoded, "avif", quality=QUALITY)
    return encoded.getvalue()


def write(folder: str, target: Path, model: Model[Any, Any]) -> str:
    """A set's training split; returns what became of its boxes."""
    document = json.loads((DATA / folder / "train.json").read_text())
    (target / folder / "images").mkdir(parents=True)
    boxed = believed = 0
    for image, packed in zip(track(document["images"], description=folder), pack(folder, "train"), strict=True):
        rows = [row for row in document["annotations"] if row["image_id"] == image["id"]]
        if not packed.picture.outlined.all():
            for row, outline in zip(rows, outlines(model, packed.unpack()), strict=True):
                boxed += 1
                if outline is not None:
                    believed += 1
                    row["segmentation"] = outline
        image["file_name"] = Path(image["file_name"]).with_suffix(".avif").name
        (target / folder / "images" / image["file_name"]).write_bytes(smaller(packed))
    (target / folder / "train.json").write_text(json.dumps(document))
    return f"{folder}: {believed} of {boxed} boxes got an outline"


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    model = load_model("solov2_people", "instance_segmentation", "auto", arguments.threads)
    resize = KeepRatio(rule="keep_ratio", short_side=TEACHER_SIDE, long_side=TEACHER_SIDE)
    model.card = model.card.model_copy(update={"image": model.card.image.model_copy(update={"resize": resize})})
    for folder, _ in SETS:
        print(write(folder, arguments.folder, model))


if __name__ == "__main__":
    main()
