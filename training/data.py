"""The labelled sets, read from a folder beside the project and held in memory."""

import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask
from rich.progress import track

WITH_MASK, WITHOUT_MASK, INCORRECT = 1, 2, 3
"""Category ids of kaggle853; the third is a mask below nose or chin, which counts as none."""
PERSON = 1
"""COCO's category id."""
DATA = Path(os.environ.get("MASKGRAPH_DATA", Path(__file__).parents[1].parent / "shared" / "data"))
"""Folder with ``facemask/`` and ``instances/``; MASKGRAPH_DATA names another."""


@dataclass(frozen=True)
class Picture:
    """One labelled picture.

    image: uint8 RGB [H, W, 3]; boxes: float32 [K, 4] (left, top, right, bottom); labels: int64 [K], the set's
    category ids; masks: K RLEs or none; crowd: bool [K]; outlined: bool [K], whether the mask is the object's outline
    and not only its box; name: ``set/file``; labelled: the category ids whose every object is labelled.
    """

    name: str
    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    masks: list[dict]
    crowd: NDArray[np.bool_]
    outlined: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    labelled: frozenset[int] = frozenset()

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


@dataclass(frozen=True)
class PackedPicture:
    """One labelled picture as it lies in its file, so that thousands fit into memory; ``picture`` is what it holds, but
    for the image, which ``unpack`` decodes."""

    encoded: bytes
    picture: Picture

    def unpack(self) -> Picture:
        """Decode the image, as it lies there: labels do not follow its orientation."""
        with Image.open(io.BytesIO(self.encoded)) as file:
            return replace(self.picture, image=np.array(file.convert("RGB")))


NOT_DECODED = np.zeros((0, 0, 3), np.uint8)


def pack(folder: str, split: str) -> list[PackedPicture]:
    """Read a split of a set of people or things, images still encoded.

    An object of which only the box is known has its rectangle for a mask. What a set labels wholly stands with the
    picture (``labelled_categories``), with the set (``labelled_category_ids``), or is every category that it lists.
    """
    root = DATA / folder
    document = json.loads((root / f"{split}.json").read_text())
    listed = [category["id"] for category in document.get("categories", [{"id": PERSON}])]
    packed = []
    for image, annotations in _annotated(document):
        masks = [as_rle(_outline(a), image["height"], image["width"]) for a in annotations]
        labelled = image.get("labelled_categories") or document.get("labelled_category_ids") or listed
        picture = Picture(
            name=f"{folder}/{image['file_name']}",
            image=NOT_DECODED,
            boxes=_corners(annotations),
            labels=np.array([a["category_id"] for a in annotations], np.int64),
            masks=masks,
            crowd=np.array([bool(a["iscrowd"]) for a in annotations], bool),
            outlined=np.array(["segmentation" in a for a in annotations], bool),
            labelled=frozenset(labelled),
        )
        packed.append(PackedPicture((root / "images" / image["file_name"]).read_bytes(), picture))
    return packed


def load(folder: str, split: str) -> list[Picture]:
    """Read a split of a set, for example ``load("facemask/kaggle853", "train")``."""
    packed = pack(folder, split)
    with ThreadPoolExecutor() as threads:
        decoded = threads.map(PackedPicture.unpack, packed)
        return list(track(decoded, description=f"reading {folder} {split}", total=len(packed)))


def _annotated(document: dict) -> list[tuple[dict, list[dict]]]:
    """Each image with its annotations."""
    by_image: dict[int, list[dict]] = {image["id"]: [] for image in document["images"]}
    for annotation in document["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    return [(image, by_image[image["id"]]) for image in document["images"]]


def _corners(annotations: list[dict]) -> NDArray[np.float32]:
    corners = np.array([a["bbox"] for a in annotations], np.float32).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    return corners


def _outline(annotation: dict) -> list | dict:
    if "segmentation" in annotation:
        found: list | dict = annotation["segmentation"]
        return found
    left, top, width, height = annotation["bbox"]
    return [[left, top, left + width, top, left + width, top + height, left, top + height]]


def load_without_people() -> list[Picture]:
    """The exhaustively labelled pictures that show no person, with no box: whatever looks like a face there is none."""
    nothing = np.zeros((0, 4), np.float32)
    return [replace(p, boxes=nothing) for p in load("instances/coco_mix", "train") if PERSON not in p.labels]


def coco_categories() -> list[tuple[int, str]]:
    """COCO's 80 category ids and names in order; the index in this list is the served label id."""
    document = json.loads((DATA / "instances/coco_mix/train.json").read_text())
    return [(category["id"], category["name"]) for category in sorted(document["categories"], key=lambda c: c["id"])]
