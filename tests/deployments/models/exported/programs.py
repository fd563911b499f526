"""Small programs of torch.export, and archives whose parts are changed."""

import io
import json
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class Finder(nn.Module):
    """Answers ten cells of a grid of 8x8 pixels, as boxes, with the brightness of their corner for a score."""

    def __init__(self, masks: bool = False) -> None:
        super().__init__()
        self.corner = nn.Conv2d(3, 1, 1, stride=8, bias=False)
        nn.init.constant_(self.corner.weight, 1 / 3)
        self.masks = masks
        self.register_buffer("extent", torch.tensor([-2.0, -2.0, 10.0, 10.0]))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        grid = self.corner(images)
        height, width = grid.shape[2:]
        scores, cells = grid.flatten(1).topk(10, dim=1)
        left, top = cells % width * 8, cells // width * 8
        boxes = torch.stack([left, top, left, top], dim=2) + self.extent
        found = {"boxes": boxes, "scores": scores, "labels": (left > 8).long()}
        if self.masks:
            rows = torch.arange(height * 2, device=images.device).view(1, 1, -1, 1) * 4
            columns = torch.arange(width * 2, device=images.device).view(1, 1, 1, -1) * 4
            inside = (rows >= top[..., None, None]) & (rows < top[..., None, None] + 8)
            inside = inside & (columns >= left[..., None, None]) & (columns < left[..., None, None] + 8)
            found["masks"] = inside.float()
        return found


@cache
def archive(masks: bool = False, fixed: tuple[int, int, int] | None = None) -> bytes:
    """A Finder's. fixed: its batch, height and width; any where None."""
    batch, height, width = fixed or (2, 64, 64)
    sides = {axis: 8 * torch.export.Dim(name, min=2, max=500) for axis, name in ((2, "h"), (3, "w"))}
    shapes = None if fixed else {"images": {0: torch.export.Dim("n", max=64), **sides}}
    return save(Finder(masks), torch.rand(batch, 3, height, width), shapes)


def save(module: nn.Module, images: Tensor, shapes: Any = None) -> bytes:
    """What ``torch.export.save`` writes of a module."""
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(module.eval(), (images,), dynamic_shapes=shapes), buffer)
    return buffer.getvalue()


def changed(data: bytes, name: str, change: Callable[[bytes], bytes | None]) -> bytes:
    """The archive with one entry changed, or left out where ``change`` answers None."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(buffer, "w") as target:
        for entry in source.infolist():
            content: bytes | None = source.read(entry)
            assert content is not None
            if entry.filename.partition("/")[2] == name:
                content = change(content)
            if content is not None:
                target.writestr(entry, content)
    return buffer.getvalue()


def with_json(data: bytes, change: Callable[[Any], None], name: str = "models/model.json") -> bytes:
    """The archive with one of its JSON documents changed in place."""

    def rewrite(content: bytes) -> bytes:
        document = json.loads(content)
        change(document)
        return json.dumps(document).encode()

    return changed(data, name, rewrite)


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
