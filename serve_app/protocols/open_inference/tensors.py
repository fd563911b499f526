"""Tensors of the Open Inference Protocol V2: images from the one input, outputs from what was found.

https://github.com/kserve/open-inference-protocol
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from deployments.imaging.rle import decode_rle
from deployments.models.card import Task
from deployments.results import Box
from serve_app.analysis import EncodedImage, ImageAnalysis
from serve_app.limits import Limits
from serve_app.protocols.detections import AnswerTooLarge
from serve_app.protocols.pixels import check_batch_shape
from serve_app.protocols.served_models import ServedModel

Image = EncodedImage | NDArray[np.uint8]

NUMPY = {"FP32": "<f4", "INT64": "<i8", "UINT8": "u1"}
"""NumPy's names of the datatypes of numbers that are served."""
DENSE_MASKS = "dense_masks"
"""The one output that is sent only where it is asked for by name."""
MAX_DENSE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Datatype and shape of an input or output; -1 is a size that varies."""

    datatype: str
    shape: tuple[int, ...]

    @property
    def config_type(self) -> str:
        """The datatype as Triton's model configuration names it."""
        return "TYPE_STRING" if self.datatype == "BYTES" else f"TYPE_{self.datatype}"


@dataclass(frozen=True, slots=True)
class Tensor:
    """An output. ``values`` is an array of ``shape``, or the elements of a BYTES tensor in row-major order."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: NDArray[Any] | list[bytes]

    def raw(self) -> bytes:
        """Little-endian, row-major; each element of BYTES after its length as uint32."""
        if isinstance(self.values, list):
            return b"".join(len(element).to_bytes(4, "little") + element for element in self.values)
        return self.values.tobytes()


IMAGES = TensorSpec("BYTES", (-1,))
"""The input ``images``: picture files. It is taken as pixels, too: upright RGB, UINT8 [N, H, W, 3]."""


def check_images(datatype: str, shape: Sequence[int], limits: Limits) -> None:
    """Raise ValueError unless the input is BYTES [N] or [N, 1], or UINT8 [N, H, W, 3], within the limits."""
    if datatype == "UINT8":
        check_batch_shape(shape, limits)
    elif datatype != "BYTES":
        raise ValueError(
            f"the datatype must be BYTES (picture files) or UINT8 (pixels [N, H, W, 3]), not {datatype[:40]!r}"
        )
    elif len(shape) not in (1, 2) or shape[0] < 1 or list(shape[1:]) not in ([], [1]):
        raise ValueError(f"the shape of BYTES must be [N] or [N, 1], not {list(shape)[:8]}")
    elif shape[0] > limits.max_images:
        raise ValueError(f"the shape {list(shape)} holds more images than the limit of {limits.max_images}")


def images_from_raw(datatype: str, shape: Sequence[int], data: memoryview) -> list[Image]:
    """Images from the bytes of a tensor that ``check_images`` admits. Raises ValueError where they do not fit it."""
    if datatype == "UINT8":
        if len(data) != prod(shape):
            raise ValueError(f"the shape {list(shape)} needs {prod(shape)} bytes; there are {len(data)}")
        return [pixels.copy() for pixels in np.frombuffer(data, np.uint8).reshape(shape)]
    files: list[Image] = []
    position = 0
    for number in range(1, shape[0] + 1):
        start = position + 4
        size = int.from_bytes(data[position:start], "little")
        position = start + size
        if position > len(data):
            raise ValueError(
                f"element {number} of {shape[0]} takes {size} bytes after its length; "
                f"there are {max(0, len(data) - start)}"
            )
        files.append(EncodedImage(bytes(data[start:position])))
    if position != len(data):
        raise ValueError(f"{len(data) - position} bytes follow the last of {shape[0]} elements")
    return files


def images_from_values(datatype: str, shape: Sequence[int], values: Sequence[Any]) -> list[Image]:
    """Images from the elements, in row-major order, of a tensor that ``check_images`` admits: bytes or integers.

    Raises ValueError where they do not fit it.
    """
    if len(values) != prod(shape):
        raise ValueError(f"the shape {list(shape)} needs {prod(shape)} elements; there are {len(values)}")
    if datatype == "BYTES":
        return [EncodedImage(data) for data in values]
    try:
        data = bytes(values)
    except ValueError:
        raise ValueError("UINT8 elements must be from 0 to 255") from None
    return images_from_raw(datatype, shape, memoryview(data))


@dataclass(frozen=True, slots=True)
class Column:
    """An output with a row for each thing found."""

    datatype: str
    row: tuple[int, ...]
    """Shape of one row."""
    value: Callable[[int, Any], object]
    """A row, from the index of the image and the thing found in it."""

    @property
    def spec(self) -> TensorSpec:
        return TensorSpec(self.datatype, (-1, *self.row))


def corners(box: Box) -> tuple[float, float, float, float]:
    """Left, top, right, bottom in pixels of the upright image."""
    return box.left, box.top, box.right, box.bottom


COLUMNS: dict[Task, dict[str, Column]] = {
    "mask_detection": {
        "boxes": Column("FP32", (4,), lambda image, face: corners(face.box)),
        "labels": Column("BYTES", (), lambda image, face: face.label.encode()),
        "scores": Column("FP32", (), lambda image, face: face.confidence),
        "face_scores": Column("FP32", (), lambda image, face: face.face_score),
        "image_index": Column("INT64", (), lambda image, face: image),
    },
    "instance_segmentation": {
        "boxes": Column("FP32", (4,), lambda image, instance: corners(instance.box)),
        "labels": Column("BYTES", (), lambda image, instance: instance.label.encode()),
        "label_ids": Column("INT64", (), lambda image, instance: instance.label_id),
        "scores": Column("FP32", (), lambda image, instance: instance.score),
        "areas": Column("INT64", (), lambda image, instance: instance.area),
        "masks": Column("BYTES", (), lambda image, instance: orjson.dumps(instance.mask)),
        "image_index": Column("INT64", (), lambda image, instance: image),
    },
    "object_detection": {
        "boxes": Column("FP32", (4,), lambda image, found: corners(found.box)),
        "labels": Column("BYTES", (), lambda image, found: found.label.encode()),
        "label_ids": Column("INT64", (), lambda image, found: found.label_id),
        "scores": Column("FP32", (), lambda image, found: found.score),
        "image_index": Column("INT64", (), lambda image, found: image),
    },
}
PEOPLE = {
    "people.instances": Column("INT64", (), lambda image, person: person[0]),
    "people.faces": Column("INT64", (), lambda image, person: person[1]),
    "people.labels": Column("BYTES", (), lambda image, person: person[2].encode()),
    "people.image_index": Column("INT64", (), lambda image, person: image),
}
OF_IMAGES = {
    "image_sizes": Column("INT64", (2,), lambda image, found: (found.height, found.width)),
    "errors": Column("BYTES", (), lambda image, found: "; ".join(error.message for error in found.errors).encode()),
}


def output_specs(model: ServedModel) -> dict[str, TensorSpec]:
    """What a model answers, in a fixed order; with several tasks, names carry theirs: ``mask_detection.boxes``.

    Rows run over all faces, instances, objects or people of all N images; ``image_index`` tells whose, from 0.
    ``boxes`` are left, top, right, bottom in pixels of the upright image; the ``scores`` of faces are the probability
    of their label; ``masks`` are COCO RLE in JSON, at the image's size. ``dense_masks`` are 0 and 1, [instances,
    height, width] of the largest image, zero beyond smaller ones. ``people.instances`` and ``people.faces`` are rows of
    the outputs of their tasks, -1 for no face; ``people.labels`` are empty then. ``image_sizes`` are [N, 2], height and
    width, 0 for an image that could not be read; ``errors`` [N] are empty for an image that nothing went wrong with.
    """
    specs: dict[str, TensorSpec] = {}
    for task in model.tasks:
        specs |= {model.output_name(task, name): column.spec for name, column in COLUMNS[task].items()}
        if task == "instance_segmentation":
            specs[model.output_name(task, DENSE_MASKS)] = TensorSpec("UINT8", (-1, -1, -1))
    if len(model.tasks) > 1:
        specs |= {name: column.spec for name, column in PEOPLE.items()}
    return specs | {name: column.spec for name, column in OF_IMAGES.items()}


def output_tensors(model: ServedModel, images: Sequence[ImageAnalysis], wanted: Collection[str]) -> list[Tensor]:
    """The outputs in ``wanted``, in its order, as ``output_specs`` describes them. Raises AnswerTooLarge."""
    made: dict[str, Tensor] = {}
    for task in model.tasks:
        columns = {model.output_name(task, name): column for name, column in COLUMNS[task].items()}
        rows = [(index, found) for index, image in enumerate(images) for found in image.found(task)]
        made |= _filled(columns, rows, wanted)
        dense = model.output_name(task, DENSE_MASKS)
        if dense in wanted:
            made[dense] = _dense_masks(dense, images)
    made |= _filled(PEOPLE, _people(images), wanted)
    made |= _filled(OF_IMAGES, list(enumerate(images)), wanted)
    return [made[name] for name in wanted]


def _filled(
    columns: Mapping[str, Column], rows: Sequence[tuple[int, Any]], wanted: Collection[str]
) -> dict[str, Tensor]:
    made = {}
    for name, column in columns.items():
        if name in wanted:
            values: Any = [column.value(image, item) for image, item in rows]
            if column.datatype != "BYTES":
                values = np.array(values, NUMPY[column.datatype]).reshape(-1, *column.row)
            made[name] = Tensor(name, column.datatype, (len(rows), *column.row), values)
    return made


def _people(images: Sequence[ImageAnalysis]) -> list[tuple[int, tuple[int, int, str]]]:
    """Image index, and row of the instance, row of the face or -1, and whether it wears a mask, of each person."""
    people: list[tuple[int, tuple[int, int, str]]] = []
    instances_before = faces_before = 0
    for index, image in enumerate(images):
        for person in image.people:
            face = -1 if person.face is None else faces_before + person.face
            people.append((index, (instances_before + person.instance, face, person.mask or "")))
        instances_before += len(image.instances)
        faces_before += len(image.faces)
    return people


def _dense_masks(name: str, images: Sequence[ImageAnalysis]) -> Tensor:
    count = sum(len(image.instances) for image in images)
    shape = count, max(image.height for image in images), max(image.width for image in images)
    if prod(shape) > MAX_DENSE_BYTES:
        raise AnswerTooLarge(
            f"{name} would take {prod(shape)} bytes for {count} instances; the limit is {MAX_DENSE_BYTES}. Send fewer "
            "or smaller images, set max_instances, or ask for masks, which are run-length encoded"
        )
    masks = np.zeros(shape, np.uint8)
    instances = (instance for image in images for instance in image.instances)
    for dense, instance in zip(masks, instances, strict=True):
        height, width = instance.mask["size"]
        dense[:height, :width] = decode_rle(instance.mask)
    return Tensor(name, "UINT8", shape, masks)
