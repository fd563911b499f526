"""From what an ONNX network answers, in the form that its card states, to candidates."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_convert

from deployments.engines.finite import require_finite
from deployments.models.candidates import Candidates
from deployments.models.onnx.network import Network, OutputName

FORMS = "scores and labels are [N, K], boxes [N, K, 4], masks [N, K, h, w] or [N, K, 1, h, w]; N may be left out at 1"


def candidates(
    found: Mapping[OutputName, NDArray[Any]], network: Network, pictures: int, size: tuple[int, int]
) -> list[Candidates]:
    """Of each picture, what has a score above 0, with boxes in pixels of the input and labels of the card.

    found: outputs of one run over so many pictures; size: height and width of the input. Without boxes each is the
    whole input. Raises ValueError naming an output that has another shape or type.
    """
    checked = {name: _checked(name, output, network, pictures) for name, output in found.items()}
    require_finite(checked["scores"])
    objects = checked["scores"].shape[1]
    for name, output in checked.items():
        if output.shape[1] != objects:
            raise ValueError(
                f"output {network.outputs[name]!r} ({name}) is {list(found[name].shape)} for {objects} scores; {FORMS}"
            )
    height, width = size
    whole = torch.tensor([0.0, 0.0, width, height]).expand(pictures, objects, 4)
    boxes = _pixels(checked["boxes"], network, size) if "boxes" in checked else whole
    labels = checked["labels"].long() - network.first_label
    masks = checked.get("masks")
    return [
        _filled(Candidates(boxes[i], checked["scores"][i], labels[i], None if masks is None else masks[i]))
        for i in range(pictures)
    ]


def _filled(found: Candidates) -> Candidates:
    """Without padding and background."""
    return found.take((found.scores > 0) & (found.labels >= 0))


def _checked(name: OutputName, output: NDArray[Any], network: Network, pictures: int) -> Tensor:
    """The output with a side for the pictures; floats as float32.

    boxes [N, K, 4], scores and labels [N, K], masks [N, K, h, w].
    """
    shape = (1, *output.shape) if _lacks_pictures(name, output.shape, pictures) else output.shape
    if name == "masks" and len(shape) == 5 and shape[2] == 1:
        shape = (*shape[:2], *shape[3:])
    ranks = {"boxes": 3, "masks": 4}
    if len(shape) != ranks.get(name, 2) or shape[0] != pictures or (name == "boxes" and shape[2] != 4):
        raise ValueError(
            f"output {network.outputs[name]!r} ({name}) is {list(output.shape)} for {pictures} pictures; {FORMS}"
        )
    if name == "labels":
        return torch.from_numpy(_whole_numbers(output, network)).reshape(shape)
    if not np.issubdtype(output.dtype, np.floating):
        raise ValueError(f"output {network.outputs[name]!r} ({name}) is of {output.dtype}, not of floats")
    return torch.from_numpy(output.astype(np.float32, copy=False)).reshape(shape)


def _lacks_pictures(name: OutputName, shape: Sequence[int], pictures: int) -> bool:
    if pictures != 1:
        return False
    if name == "masks":  # [K, h, w]; [K, 1, h, w] looks like [1, K, h, w] where K is 1, and then means the same
        return len(shape) == 3 or (len(shape) == 4 and shape[1] == 1)
    return len(shape) == (2 if name == "boxes" else 1)


def _whole_numbers(labels: NDArray[Any], network: Network) -> NDArray[np.int64]:
    if not np.issubdtype(labels.dtype, np.integer):
        finite = np.issubdtype(labels.dtype, np.floating) and np.isfinite(labels).all()
        if not finite or not (labels == np.rint(labels)).all():
            name = network.outputs["labels"]
            raise ValueError(f"output {name!r} (labels) is of {labels.dtype}, and not of whole numbers")
    return labels.astype(np.int64)


def _pixels(boxes: Tensor, network: Network, size: tuple[int, int]) -> Tensor:
    """Left, top, right, bottom in pixels of the input; float32 [N, K, 4]."""
    if network.box_form == "yxyx":
        boxes = boxes[..., [1, 0, 3, 2]]
    elif network.box_form != "xyxy":
        boxes = box_convert(boxes, network.box_form, "xyxy")
    height, width = size
    return boxes * torch.tensor([width, height] * 2) if network.box_unit == "fraction" else boxes
