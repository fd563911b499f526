"""Measure the weights in the tree on held-out pictures: ``python -m training.evaluate [faces|instances]``."""

import argparse
import contextlib
import io
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.console import Console
from rich.progress import track
from rich.table import Table

from deployments.calls import Call, InstanceSegmentationOptions, Item, MaskDetectionOptions
from deployments.imaging.resize import prepare
from deployments.models.card import TASKS, Task
from deployments.models.load import load as load_model
from deployments.models.model import Model
from deployments.results import Box, Face
from training.data import DATA, Picture, coco_categories, load

CATEGORIES = {1: "MASK", 2: "NO MASK"}
INCORRECT = 3
LOWEST_SCORE = 0.05


def answer(model: Model, image: NDArray[np.uint8], options: MaskDetectionOptions | InstanceSegmentationOptions) -> list:
    """The model's answer for one upright RGB picture, exactly as served."""
    height, width = image.shape[:2]
    call = Call(height, width, options, deadline=float("inf"), request_id="evaluation")
    item = Item(prepare(image, model.card.image), call)
    return list(model.finish(item, model.run(model.collate([item]))[0]))


def average_precision(scores: list[float], correct: list[bool], truths: int) -> float:
    """Area under the precision-recall curve, all points, precision made monotonic."""
    order = np.argsort(-np.array(scores), kind="stable")
    hits = np.array(correct, bool)[order]
    recall = np.cumsum(hits) / max(truths, 1)
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def match_faces(found: list[Face], picture: Picture, label: str) -> list[tuple[float, bool]]:
    """Score and correctness of each detection of a label; one that matches an incorrectly worn mask does not count."""
    category = {name: number for number, name in CATEGORIES.items()}[label]
    truths = [Box(*map(float, b)) for b, c in zip(picture.boxes, picture.labels, strict=True) if c == category]
    neutral = [Box(*map(float, b)) for b, c in zip(picture.boxes, picture.labels, strict=True) if c == INCORRECT]
    used: set[int] = set()
    rows = []
    detections = sorted((f for f in found if f.label == label), key=lambda f: -f.face_score * f.confidence)
    for face in detections:
        overlaps = [(face.box.iou(truth), k) for k, truth in enumerate(truths) if k not in used]
        best, which = max(overlaps, default=(0.0, -1))
        if best >= 0.5:
            used.add(which)
        elif any(face.box.iou(box) >= 0.5 for box in neutral):
            continue
        rows.append((face.face_score * face.confidence, best >= 0.5))
    return rows


def evaluate_faces(model: Model, pictures: list[Picture]) -> dict[str, float]:
    """AP50 a label, and what becomes of incorrectly worn masks."""
    rows: dict[str, list[tuple[float, bool]]] = {label: [] for label in CATEGORIES.values()}
    confusion: dict[tuple[int, str], int] = {}
    for picture in track(pictures, description="faces"):
        found = answer(model, picture.image, MaskDetectionOptions(face_threshold=LOWEST_SCORE))
        for label in rows:
            rows[label] += match_faces(found, picture, label)
        for box, category in zip(picture.boxes, picture.labels, strict=True):
            truth = Box(*map(float, box))
            sure = [face for face in found if face.face_score >= model.card.thresholds["face_threshold"]]
            best = max(sure, key=lambda face: face.box.iou(truth), default=None)
            said = best.label if best and best.box.iou(truth) >= 0.5 else "missed"
            confusion[int(category), said] = confusion.get((int(category), said), 0) + 1
    metrics = {}
    for category, label in CATEGORIES.items():
        truths = sum(int((p.labels == category).sum()) for p in pictures)
        metrics[f"ap50 {label}"] = average_precision(*map(list, zip(*rows[label], strict=True)), truths)
    for category, name in ((1, "with_mask"), (2, "without_mask"), (INCORRECT, "mask_incorrect")):
        for said in ("MASK", "NO MASK", "missed"):
            metrics[f"{name} -> {said}"] = confusion.get((category, said), 0)
    return metrics


def evaluate_instances(model: Model, folder: str) -> dict[str, float]:
    """COCO's mask AP and AP50 for people, and over all classes where all are labelled."""
    truth_file = DATA / folder / "val.json"
    category_ids = [category for category, _ in coco_categories()]
    pictures = load(folder, "val")
    images = json.loads(truth_file.read_text())["images"]
    detections = []
    for image, picture in zip(images, track(pictures, description=folder), strict=True):
        options = InstanceSegmentationOptions(score_threshold=LOWEST_SCORE)
        for instance in answer(model, picture.image, options):
            detections.append(
                {
                    "image_id": image["id"],
                    "category_id": category_ids[instance.label_id],
                    "segmentation": instance.mask,
                    "score": instance.score,
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(truth_file))
        evaluation = COCOeval(truth, truth.loadRes(detections) if detections else COCO(), "segm")
        evaluation.params.catIds = [1]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        metrics = {"person mask AP": float(evaluation.stats[0]), "person mask AP50": float(evaluation.stats[1])}
        if "mix" in folder:
            evaluation.params.catIds = category_ids
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            metrics |= {"all-class mask AP": float(evaluation.stats[0]), "all-class AP50": float(evaluation.stats[1])}
    return metrics


def main() -> None:
    """Print a table of metrics, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", choices=["faces", "instances"], default=["faces", "instances"])
    parser.add_argument("--split", default="test", help="of the faces: val while tuning, test to report")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--face-model", default="face_mask")
    parser.add_argument("--instance-model", default="solov2_people")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    report: dict[str, dict[str, float]] = {}
    references: dict[Task, str] = dict(zip(TASKS, (arguments.face_model, arguments.instance_model), strict=True))
    if "faces" in arguments.what:
        model = load_model(references["mask_detection"], "mask_detection", "auto", arguments.threads)
        name = f"kaggle853 {arguments.split}"
        report[name] = evaluate_faces(model, load("facemask/kaggle853", arguments.split))
    if "instances" in arguments.what:
        model = load_model(references["instance_segmentation"], "instance_segmentation", "auto", arguments.threads)
        for folder in ("coco_oneperson", "coco_mix"):
            report[f"{folder} val"] = evaluate_instances(model, f"instances/{folder}")
    table = Table("set", "measure", "value")
    for name, metrics in report.items():
        for measure, value in metrics.items():
            table.add_row(name, measure, f"{value:.4f}" if isinstance(value, float) else str(value))
    Console(width=100).print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
