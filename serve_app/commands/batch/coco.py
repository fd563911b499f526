"""The answers of a batch run as one COCO JSON file."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson
from pyarrow import NativeFile

from deployments.models.card import Task, card_path, read_card
from serve_app.analysis import FOUND
from serve_app.commands.batch.parts import read_parts
from serve_app.commands.batch.places import Place
from serve_app.settings import Settings

Categories = Mapping[tuple[Task, str], int]


def write_coco(output: Place, file: Place, settings: Settings) -> None:
    """Write images, categories and annotations: instances with masks, faces and objects as boxes.

    Categories are the labels of all models, one after the other, from 1 on; ``supercategory`` is the task. Pictures
    that could not be read have no size and are left out.
    """
    labels = [(task, label) for task, card in settings.cards().items() for label in read_card(card_path(card)).labels]
    categories = {each: number for number, each in enumerate(labels, 1)}
    named = [{"id": id, "name": label, "supercategory": task} for (task, label), id in categories.items()]
    with file.writing() as stream:
        stream.write(b'{"categories": [\n')
        _write_items(stream, named)
        stream.write(b'],\n"images": [\n')
        _write_items(stream, images(output))
        stream.write(b'],\n"annotations": [\n')
        _write_items(stream, annotations(output, categories))
        stream.write(b"]}\n")


def images(output: Place) -> Iterator[dict[str, Any]]:
    """An entry a picture."""
    for number, row in _rows(output, []):
        yield {"id": number, "file_name": row["path"], "width": row["width"], "height": row["height"]}


def annotations(output: Place, categories: Categories) -> Iterator[dict[str, Any]]:
    """An entry a face, instance and object, numbered from 1 on."""
    id = 0
    for number, row in _rows(output, list(FOUND.values())):
        for task, column in FOUND.items():
            for found in row[column] or ():
                id += 1
                yield annotation(id, number, categories[task, found["label"]], found)


def annotation(id: int, image: int, category: int, found: Mapping[str, Any]) -> dict[str, Any]:
    """An entry; a face's score is its ``face_score``, the confidence of its label stands beside."""
    box = found["box"]
    width, height = round(box["right"] - box["left"], 2), round(box["bottom"] - box["top"], 2)
    written = {
        "id": id,
        "image_id": image,
        "category_id": category,
        "bbox": [box["left"], box["top"], width, height],
        "area": found.get("area", round(width * height, 2)),
        "iscrowd": 0,
        "score": found["score"] if "score" in found else found["face_score"],
    }
    if "mask" in found:
        written["segmentation"] = found["mask"]
    if "confidence" in found:
        written["confidence"] = found["confidence"]
    return written


def _rows(output: Place, columns: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number, from 1 on, and columns of each picture that has a size, in an order that does not change."""
    number = 0
    for part in read_parts(output, ["path", "width", "height", *columns]):
        for row in part.to_pylist():
            if row["width"]:
                number += 1
                yield number, row


def _write_items(stream: NativeFile, items: Iterable[object]) -> None:
    separator = b""
    for item in items:
        stream.write(separator + orjson.dumps(item))
        separator = b",\n"
