"""The labelled sets, read from a folder beside the project and held in memory."""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from rich.progress import track

WITH_MASK, WITHOUT_MASK = 1, 2
"""Category ids of kaggle853; the third, a mask below nose or chin, counts as none."""
PERSON = 1
"""COCO's category id."""
DATA = Path(os.environ.get("MASKGRAPH_DATA", Path(__file__).parents[1].parent / "shared" / "data"))
"""Folder with ``facemask/`` and ``instances/``; MASKGRAPH_DATA names another."""


@dataclass(frozen=True)
class Picture:
    """One labelled picture.

    image: uint8 RGB [H, W, 3]; boxes: float32 [K, 4] (left, top, right, bottom); labels: int64 [K], the set's
    category ids; masks: K RLEs or none; crowd: bool [K]; name: ``set/file``.
    """

    name: str
    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    masks: list[dict]
    crowd: NDArray[np.bool_]

    def dense_masks(self) -> NDArray[np.uint8]:
        """Masks as uint8 [K, H, W]."""
        height, width = self.image.shape[:2]
        if not self.masks:
            return np.zeros((0, height, width), np.uint8)
        return np.ascontiguousarray(coco_mask.decode(self.masks).transpose(2, 0, 1))


def as_rle(segmentation: list | dict, height: int, width: int) -> dict:
    """COCO's polygons, uncompressed or compressed runs, as one compressed RLE."""
    if isinstance(segmentation, list):
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    if isinstance(segmentation["counts"], list):
        return coco_mask.frPyObjects(segmentation, height, width)
    return {"size": segmentation["size"], "counts": segmentation["counts"].encode()}


def load(folder: str, split: str) -> list[Picture]:
    """Read a split of a set, for example ``load("facemask/kaggle853", "train")``."""
    root = DATA / folder
    document = json.loads((root / f"{split}.json").read_text())
    by_image: dict[int, list[dict]] = {image["id"]: [] for image in document["images"]}
    for annotation in document["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    pictures = []
    for image in track(document["images"], description=f"reading {folder} {split}"):
        annotations = by_image[image["id"]]
        pixels = cv2.imread(str(root / "images" / image["file_name"]), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        height, width = pixels.shape[:2]
        corners = np.array([a["bbox"] for a in annotations], np.float32).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        masks = [as_rle(a["segmentation"], height, width) for a in annotations if "segmentation" in a]
        pictures.append(
            Picture(
                name=f"{folder}/{image['file_name']}",
                image=cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB),
                boxes=corners,
                labels=np.array([a["category_id"] for a in annotations], np.int64),
                masks=masks,
                crowd=np.array([bool(a["iscrowd"]) for a in annotations], bool),
            )
        )
    return pictures


def load_without_people() -> list[Picture]:
    """The exhaustively labelled pictures that show no person, with no box: whatever looks like a face there is none."""
    nothing = np.zeros((0, 4), np.float32)
    return [replace(p, boxes=nothing) for p in load("instances/coco_mix", "train") if PERSON not in p.labels]


def coco_categories() -> list[tuple[int, str]]:
    """COCO's 80 category ids and names in order; the index in this list is the served label id."""
    document = json.loads((DATA / "instances/coco_mix/train.json").read_text())
    return [(category["id"], category["name"]) for category in sorted(document["categories"], key=lambda c: c["id"])]
