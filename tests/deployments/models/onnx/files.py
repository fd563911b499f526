"""Small networks as ONNX files."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import ModelProto, TensorProto, helper
from torch import Tensor, nn

OPSET = 17


class Finder(nn.Module):
    """Answers ten cells of a grid of 8x8 pixels, as boxes, with the brightness of their corner for a score."""

    def __init__(self, masks: bool = False) -> None:
        super().__init__()
        self.corner = nn.Conv2d(3, 1, 1, stride=8, bias=False)
        nn.init.constant_(self.corner.weight, 1 / 3)
        self.masks = masks
        self.register_buffer("extent", torch.tensor([-2.0, -2.0, 10.0, 10.0]))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """boxes, scores, labels, and masks."""
        grid = self.corner(images)
        height, width = grid.shape[2:]
        scores, cells = grid.flatten(1).topk(10, dim=1)
        left, top = cells % width * 8, cells // width * 8
        boxes = torch.stack([left, top, left, top], dim=2) + self.extent
        labels = (left > 8).long()
        if not self.masks:
            return boxes, scores, labels
        rows = torch.arange(height * 2, device=images.device).view(1, 1, -1, 1) * 4
        columns = torch.arange(width * 2, device=images.device).view(1, 1, 1, -1) * 4
        inside = (rows >= top[..., None, None]) & (rows < top[..., None, None] + 8)
        inside = inside & (columns >= left[..., None, None]) & (columns < left[..., None, None] + 8)
        return boxes, scores, labels, inside.float()


def export(
    module: nn.Module,
    images: Any,
    path: Path,
    outputs: tuple[str, ...] = ("boxes", "scores", "labels"),
    free: tuple[int, ...] = (),
    **options: Any,
) -> Path:
    """Write a module by torch's older exporter, which is quick and traces torchvision's detectors.

    free: axes of the input whose size is left open.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            (images,),
            str(path),
            input_names=["images"],
            output_names=list(outputs),
            dynamic_axes={"images": {axis: f"side{axis}" for axis in free}} if free else None,
            opset_version=OPSET,
            dynamo=False,
            **options,
        )
    return path


def graph_file(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[Any],
    outputs: list[Any],
    stored: list[TensorProto] | None = None,
    **options: Any,
) -> Path:
    """Write a file by hand."""
    graph = helper.make_graph(nodes, "graph", inputs, outputs, stored or [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10, **options)
    path.write_bytes(model.SerializeToString())
    return path


def changed(path: Path, change: Callable[[ModelProto], None]) -> Path:
    """The file, changed in place."""
    model = ModelProto.FromString(path.read_bytes())
    change(model)
    path.write_bytes(model.SerializeToString())
    return path
