"""Reads the body of ``:predict``: KServe's instances or inputs, TensorFlow Serving's row and column formats."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.models.card import Task
from serve_app.analysis import AnalyzeOptions, EncodedImage
from serve_app.http.bounded_json import PIXELS_MEMORY, parse_json
from serve_app.http.dialect import decode_base64
from serve_app.http.errors import RequestError
from serve_app.http.limits import check_image_count
from serve_app.limits import Limits
from serve_app.protocols.pixels import check_batch_shape, from_floats
from serve_app.protocols.served_models import IMAGES, OTHER_NAMES_OF_IMAGES, PICTURE, ServedModel

IMAGE_KEYS = ("image", IMAGES, "image_bytes", *OTHER_NAMES_OF_IMAGES)

Image = EncodedImage | NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class PredictBody:
    """A checked request, but for the pictures themselves."""

    images: list[Image]
    options: AnalyzeOptions
    wanted: list[str]
    """Names of the outputs to send."""
    by_column: bool
    """Whether the answer is TensorFlow Serving's ``outputs``, a column an output, instead of ``predictions``."""


def parse(data: bytes, model: ServedModel, limits: Limits, labels: Mapping[Task, Collection[str]]) -> PredictBody:
    """Parse and check a body; ``labels`` of a task are those that its option ``classes`` may name.

    The keys are ``instances`` or ``inputs``, whose items are ``{"b64": ...}``, ``{"image": {"b64": ...}}`` or pixels
    [H][W][3] from 0 to 255; ``signature_name``; and ``parameters``, with options and ``output_filter``. ``inputs`` may
    also be an object of ``images`` and options. Other keys are ignored, as both servers do. Without a filter, all
    outputs but the drawn picture are sent.

    Raises RequestError 400 for what is malformed or unknown, 413 over a limit.
    """
    content = _load(data)
    # Every model has one signature: whatever a client's model called its own, the answer is the same.
    signature = content.get("signature_name")
    if signature is not None and not isinstance(signature, str):
        raise _bad("'signature_name' key must be a string value")
    if ("instances" in content) == ("inputs" in content):
        raise _bad('Expected exactly one of the keys "inputs" and "instances" in the request body')
    key = "instances" if "instances" in content else "inputs"
    items, given = _items_and_options(content, key)
    parameters = content.get("parameters", {})
    if not isinstance(parameters, dict):
        raise _bad("parameters must be an object")
    given = {**given, **parameters}
    wanted = _wanted(model, given.pop("output_filter", None))
    try:
        options = model.analyze_options(given, labels)
    except ValueError as error:
        raise _bad(str(error)) from None
    if not isinstance(items, list) or not items:
        raise _bad(f"{key} must be a list of one image or more")
    check_image_count(len(items), limits)
    by_column = key == "inputs" and not any(isinstance(item, dict) and "b64" not in item for item in items)
    return PredictBody([_image(item, n, limits) for n, item in enumerate(items, 1)], options, wanted, by_column)


def _load(data: bytes) -> dict[str, Any]:
    try:
        content = parse_json(data, PIXELS_MEMORY)
    except RequestError as error:
        raise _bad(f"Unrecognized request format: {error.message}") from None
    if not isinstance(content, dict):
        raise _bad("Unrecognized request format: the body must be an object")
    return content


def _items_and_options(content: dict[str, Any], key: str) -> tuple[Any, dict[str, Any]]:
    """The images, and the options that stand beside them where ``inputs`` is an object of named columns."""
    value = content[key]
    if key == "instances" or not isinstance(value, dict):
        return value, {}
    names = [name for name in (IMAGES, *OTHER_NAMES_OF_IMAGES) if name in value]
    if not names:
        raise _bad(f"Missing named input: {IMAGES} in 'inputs' object")
    return value[names[0]], {name: option for name, option in value.items() if name != names[0]}


def _wanted(model: ServedModel, output_filter: object) -> list[str]:
    known = list(model.outputs())
    if output_filter is None:
        return [name for name in known if name != PICTURE]
    if not isinstance(output_filter, list) or not output_filter:
        raise _bad("output_filter must be a list of output names")
    for name in output_filter:
        if name not in known:
            raise _bad(
                f"output_filter: {model.name} has no output {str(name)[:100]!r}; its outputs are {', '.join(known)}"
            )
    return list(dict.fromkeys(output_filter))


def _image(item: object, number: int, limits: Limits) -> Image:
    if isinstance(item, dict) and "b64" not in item:
        item = _without_key(item)
        if len(item) != 1 or next(iter(item)) not in IMAGE_KEYS:
            names = ", ".join(str(name)[:40] for name in list(item)[:5]) or "none"
            known = ", ".join(IMAGE_KEYS)
            raise _bad(f"must hold one key of {known}, not {names}; options belong into parameters", number)
        item = item[next(iter(item))]
    if isinstance(item, dict):
        if set(_without_key(item)) != {"b64"}:
            raise _bad('a picture file must be {"b64": "<base64>"}', number)
        return EncodedImage(decode_base64(item["b64"], number))
    if isinstance(item, list):
        try:
            return _pixels(item, limits)
        except ValueError as error:
            raise _bad(str(error), number) from None
    raise _bad('must be {"b64": "<base64>"} or pixels [H][W][3]', number)


def _without_key(item: dict[str, Any]) -> dict[str, Any]:
    """KServe's samples number their instances with ``key``, as models that were exported to return it want."""
    return {name: value for name, value in item.items() if name != "key"}


def _pixels(rows: list[Any], limits: Limits) -> NDArray[np.uint8]:
    """Nested lists to uint8 [H, W, 3]. Types and lengths are checked first: NumPy would take strings and bools too."""
    if not rows or set(map(type, rows)) != {list} or len(set(map(len, rows))) != 1:
        raise ValueError("pixels must be [H][W][3], with rows of one length")
    pixels = list(chain.from_iterable(rows))
    if set(map(type, pixels)) != {list} or set(map(len, pixels)) != {3}:
        raise ValueError("pixels must be [H][W][3], three numbers each")
    check_batch_shape((1, len(rows), len(rows[0]), 3), limits)
    values = list(chain.from_iterable(pixels))
    kinds = set(map(type, values))
    if not kinds <= {int, float}:
        raise ValueError("pixels must be numbers from 0 to 255")
    image = np.array(values, np.float64).reshape(len(rows), -1, 3)
    if kinds == {int} and image.min() >= 0 and image.max() <= 255:
        return image.astype(np.uint8)
    return from_floats(image)


def _bad(message: str, number: int | None = None) -> RequestError:
    return RequestError(400, "bad_request", message, number)
