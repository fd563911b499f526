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
from training.metrics import TIMED, Curve, Measured, Reliability

LOWEST_SCORE = 0.05
PERSON = 1
"""COCO's category id."""


def evaluate_instances(model: Model, folder: str, all_classes: bool) -> Measured:
    """Mask AP and AP50 for people, their precision and recall at the card's threshold, and how often a person of a
    score is one; where a set labels all classes, AP over all, and how many answers are of a class that is not there."""
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
        reliability, people = matched(evaluation, "person")
        hits = reliability.right[reliability.scores >= threshold_of(model, "person")]
        metrics |= {"person precision": float(hits.mean()), "person recall": int(hits.sum()) / people}
        if all_classes:
            ap, ap50 = average_precision(evaluation, category_ids)
            metrics |= {"all-class mask AP": ap, "all-class mask AP50": ap50}
            thresholds = {
                category: threshold_of(model, label)
                for category, label in zip(category_ids, model.card.labels, strict=True)
            }
            answered = [row for row in detections if row["score"] >= thresholds[row["category_id"]]]
            metrics["answers of a class that is not there"] = sum(not shown(truth, row) for row in answered)
    took = milliseconds(model, (picture.image for picture in pictures[:TIMED]), InstanceSegmentationOptions())
    return Measured(metrics, [curve], took, {}, reliability)


def threshold_of(model: Model, label: str) -> float:
    """From which score the model answers a label unasked."""
    return model.card.class_thresholds.get(label, model.card.thresholds["score_threshold"])


def shown(truth: COCO, row: dict) -> bool:
    """Whether a detection's picture has any object of its class."""
    return bool(truth.getAnnIds(imgIds=[row["image_id"]], catIds=[row["category_id"]]))


def matched(evaluation: COCOeval, name: str) -> tuple[Reliability, int]:
    """Whether each detection of one category, evaluated, matches an object at IoU 0.5, and how many objects there are;
    those that COCO's rules ignore are left out."""
    pictures = [one for one in evaluation.evalImgs if one and one["aRng"] == evaluation.params.areaRng[0]]
    scores = np.concatenate([one["dtScores"] for one in pictures])
    right = np.concatenate([one["dtMatches"][0] > 0 for one in pictures])
    counts = ~np.concatenate([one["dtIgnore"][0] for one in pictures]).astype(bool)
    objects = sum(int((np.asarray(one["gtIgnore"]) == 0).sum()) for one in pictures)
    return Reliability(name, scores[counts], right[counts]), objects


def average_precision(evaluation: COCOeval, categories: list[int]) -> tuple[float, float]:
    """AP over IoU 0.5 to 0.95, and at 0.5, of some categories."""
    evaluation.params.catIds = categories
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    ap, ap50 = np.asarray(evaluation.stats[:2], float)
    return float(ap), float(ap50)
