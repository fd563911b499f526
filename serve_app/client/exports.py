"""An answer in the forms of other tools: supervision, COCO, labelme."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from deployments.results import Box, Detection, Face

if TYPE_CHECKING:
    import supervision

    from serve_app.client.results import Analysis, Instance

Of = Literal["instances", "faces", "objects"]
"""What an export is of; each kind has labels, and so class ids, of its own."""
FACE_IDS = {"NO MASK": 0, "MASK": 1}
"""The class ids of faces, as the service's other protocols have them."""
LABELME_VERSION = "5.5.0"


def to_supervision(analysis: "Analysis", of: Of) -> "supervision.Detections":
    """See ``Analysis.to_supervision``."""
    try:
        import supervision
    except ImportError as error:
        raise ImportError("to_supervision() needs the package supervision: pip install supervision") from error
    found = _found(analysis, of)
    masked = of == "instances" and all(one.rle is not None for one in analysis.instances)
    return supervision.Detections(
        xyxy=np.array([_corners(one.box) for one in found], np.float32).reshape(-1, 4),
        mask=np.array([one.mask for one in analysis.instances]) if masked and found else None,
        confidence=np.array([_score(one) for one in found], np.float32),
        class_id=np.array([_label_id(one) for one in found], int),
        data={"class_name": np.array([one.label for one in found], np.str_)},
    )


def to_coco(analyses: Iterable["Analysis"], of: Of = "instances") -> dict[str, Any]:
    """A COCO dataset of these photos: ids count from 1, a category's is its label's id plus 1, boxes are x, y, w, h.

    Instances have their masks as compressed RLE; each annotation also has its ``score``. Categories are those found.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    categories: dict[int, str] = {}
    for number, analysis in enumerate(analyses, 1):
        name = analysis.name or f"image-{number}"
        images.append({"id": number, "file_name": name, "width": analysis.width, "height": analysis.height})
        for one in _found(analysis, of):
            category = _label_id(one) + 1
            categories[category] = one.label
            left, top, right, bottom = _corners(one.box)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": category,
                    "bbox": [left, top, right - left, bottom - top],
                    "area": getattr(one, "area", one.box.area),
                    "iscrowd": 0,
                    "score": _score(one),
                }
            )
            if rle := getattr(one, "rle", None):
                annotations[-1]["segmentation"] = dict(rle)
    named = [{"id": number, "name": name} for number, name in sorted(categories.items())]
    return {"images": images, "annotations": annotations, "categories": named}


def to_labelme(analysis: "Analysis") -> dict[str, Any]:
    """See ``Analysis.to_labelme``. The parts of one instance share a ``group_id``."""
    boxed: list[Face | Detection] = [*analysis.faces, *analysis.objects]
    shapes = [
        _shape(one.label, [_corners(one.box)[:2], _corners(one.box)[2:]], "rectangle", None, _score(one))
        for one in boxed
    ]
    for number, instance in enumerate(analysis.instances, 1):
        shapes += [
            _shape(instance.label, part["exterior"], "polygon", number, instance.score) for part in instance.polygon()
        ]
    return {
        "version": LABELME_VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": analysis.name,
        "imageData": None,
        "imageHeight": analysis.height,
        "imageWidth": analysis.width,
    }


def _shape(
    label: str, points: Sequence[Sequence[float]], shape_type: str, group_id: int | None, score: float
) -> dict[str, Any]:
    return {
        "label": label,
        "points": points,
        "group_id": group_id,
        "description": f"score {score:.2f}",
        "shape_type": shape_type,
        "flags": {},
    }


def _found(analysis: "Analysis", of: Of) -> "Sequence[Instance | Face | Detection]":
    match of:
        case "instances":
            return analysis.instances
        case "faces":
            return analysis.faces
        case "objects":
            return analysis.objects
    raise ValueError(f"an export is of instances, faces or objects, not of {of!r}")


def _corners(box: Box) -> tuple[float, float, float, float]:
    return box.left, box.top, box.right, box.bottom


def _score(one: "Instance | Face | Detection") -> float:
    return one.confidence if isinstance(one, Face) else one.score


def _label_id(one: "Instance | Face | Detection") -> int:
    return FACE_IDS[one.label] if isinstance(one, Face) else one.label_id
