"""Measure models on held-out pictures: ``python -m training.evaluate [faces|instances] [--sides 640 960]``."""

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.table import Table

from deployments.engines.precision import Precision
from deployments.engines.settings import EngineName
from deployments.imaging.spec import KeepRatio
from deployments.models.card import Task, card_path
from deployments.models.face_mask.model import FaceMaskModel
from deployments.models.load import load as load_model
from deployments.models.model import Model
from training.data import load
from training.evaluate_faces import evaluate_faces
from training.evaluate_instances import evaluate_instances
from training.metrics import Measured, draw_curves


@dataclass(frozen=True)
class Row:
    """One model on one set; side: longer side in pixels that pictures are resized to, None for the card's."""

    model: str
    data: str
    side: int | None
    measured: Measured


@dataclass(frozen=True)
class How:
    """What the networks run in."""

    threads: int
    precision: Precision
    engine: EngineName


def at_side(model: Model[Any, Any], side: int | None) -> Model[Any, Any]:
    """The model with pictures resized to another longer side."""
    if side is None:
        return model
    resize = KeepRatio(rule="keep_ratio", short_side=side, long_side=side)
    if isinstance(model, FaceMaskModel):
        model.resize = resize
    else:
        image = model.card.image.model_copy(update={"resize": resize})
        model.card = model.card.model_copy(update={"image": image})
    return model


def measure_faces(reference: str, split: str, sides: list[int | None], how: How) -> list[Row]:
    """The face-mask model at each size."""
    task: Task = "mask_detection"
    pictures = load("facemask/kaggle853", split)
    rows = []
    for side in sides:
        model = at_side(load_model(reference, task, "auto", how.threads, how.precision, how.engine), side)
        rows.append(Row(reference, f"kaggle853 {split}", side, evaluate_faces(model, pictures)))
    return rows


def measure_instances(reference: str, sides: list[int | None], how: How) -> list[Row]:
    """The instance model on both sets at each size."""
    rows = []
    for side in sides:
        model = at_side(
            load_model(reference, "instance_segmentation", "auto", how.threads, how.precision, how.engine), side
        )
        for name in ("coco_oneperson", "coco_mix"):
            measured = evaluate_instances(model, f"instances/{name}", all_classes=name == "coco_mix")
            rows.append(Row(reference, f"{name} val", side, measured))
    return rows


def tables(rows: list[Row]) -> list[Table]:
    """A table of figures, and one confusion matrix a row that has one."""
    figures = Table("model", "set", "side", "ms a photo", "measure", "value")
    found = [figures]
    for row in rows:
        side = "card's" if row.side is None else str(row.side)
        for measure, value in row.measured.metrics.items():
            figures.add_row(row.model, row.data, side, f"{row.measured.milliseconds:.0f}", measure, f"{value:.4f}")
        if row.measured.confusion:
            answers = list(next(iter(row.measured.confusion.values())))
            matrix = Table("labelled", *answers, title=f"{row.model}, {row.data}, side {side}: answered")
            for label, said in row.measured.confusion.items():
                matrix.add_row(label, *(str(said[each]) for each in answers))
            found.append(matrix)
    return found


def main() -> None:
    """Print tables; write them as JSON, and precision-recall curves beside the cards, where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=["faces", "instances", "both"], default="both")
    parser.add_argument("--split", default="test", help="of the faces: val while tuning, test to report")
    parser.add_argument("--sides", type=int, nargs="+", default=[None], help="longer sides of the input, in pixels")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=get_args(Precision), default="float32")
    parser.add_argument("--engine", choices=get_args(EngineName), default="auto")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--curves", action="store_true", help="write CARD.png beside each card")
    parser.add_argument("--face-model", default="face_mask")
    parser.add_argument("--instance-model", default="solov2_people")
    arguments = parser.parse_args()
    how = How(arguments.threads, arguments.precision, arguments.engine)
    rows: list[Row] = []
    if arguments.what != "instances":
        rows += measure_faces(arguments.face_model, arguments.split, arguments.sides, how)
    if arguments.what != "faces":
        rows += measure_instances(arguments.instance_model, arguments.sides, how)
    for table in tables(rows):
        Console(width=120).print(table)
    if arguments.json:
        report = [
            {"model": row.model, "set": row.data, "side": row.side, "milliseconds": row.measured.milliseconds}
            | {"metrics": row.measured.metrics, "confusion": row.measured.confusion}
            for row in rows
        ]
        arguments.json.write_text(json.dumps(report, indent=1))
    if arguments.curves:
        for reference in {row.model for row in rows}:
            curves = [
                replace(curve, name=f"{curve.name}, {row.data}")
                for row in rows
                if row.model == reference
                for curve in row.measured.curves
            ]
            reliabilities = [
                replace(row.measured.reliability, name=f"{row.measured.reliability.name}, {row.data}")
                for row in rows
                if row.model == reference
            ]
            draw_curves(curves, reliabilities, reference, card_path(reference).with_suffix(".png"))


if __name__ == "__main__":
    main()
