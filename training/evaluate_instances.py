"""What the instance model reaches on labelled masks, by COCO's own evaluation."""

import contextlib
import io
import json

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.progress import track

from deployments.calls import InstanceSegmentationOptions
from deployments.models.model import Model
from training.answer import answer, milliseconds
from training.data import DATA, coco_categories, load
from training.metrics import TIMED, Curve, Measured

LOWEST_SCORE = 0.05
PERSON = 1
"""COCO's category id."""


def evaluate_instances(model: Model, folder: str, all_classes: bool) -> Measured:
    """Mask AP and AP50 for people, and over all classes where a set labels all of them."""
    truth_file = DATA / folder / "val.json"
    pictures = load(folder, "val")
    images = json.loads(truth_file.read_text())["images"]
    category_ids = [category for category, _ in coco_categories()]
    detections = []
    for image, picture in zip(images, track(pictures, description=folder), strict=True):
        found = answer(model, picture.image, InstanceSegmentationOptions(score_threshold=LOWEST_SCORE))
        for instance in found:
            category = category_ids[instance.label_id]
            row = {"image_id": image["id"], "category_id": category, "score": instance.score}
            detections.append(row | {"segmentation": instance.mask})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(truth_file))
        evaluation = COCOeval(truth, truth.loadRes(detections) if detections else COCO(), "segm")
        ap, ap50 = average_precision(evaluation, [PERSON])
        metrics = {"person mask AP": ap, "person mask AP50": ap50}
        curve = Curve("person", evaluation.params.recThrs, evaluation.eval["precision"][0, :, 0, 0, 2], ap50)
        if all_classes:
            ap, ap50 = average_precision(evaluation, category_ids)
            metrics |= {"all-class mask AP": ap, "all-class mask AP50": ap50}
    took = milliseconds(model, (picture.image for picture in pictures[:TIMED]), InstanceSegmentationOptions())
    return Measured(metrics, [curve], took, {})


def average_precision(evaluation: COCOeval, categories: list[int]) -> tuple[float, float]:
    """AP over IoU 0.5 to 0.95, and at 0.5, of some categories."""
    evaluation.params.catIds = categories
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    ap, ap50 = np.asarray(evaluation.stats[:2], float)
    return float(ap), float(ap50)
