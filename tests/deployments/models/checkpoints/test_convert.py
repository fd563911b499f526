from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from deployments.calls import Call, InstanceSegmentationOptions, Item
from deployments.imaging.resize import prepare
from deployments.models.card import read_card
from deployments.models.checkpoints.convert import convert
from deployments.models.checkpoints.tensor_files import read_tensor_file
from deployments.models.coco import CLASSES
from deployments.models.load import load
from deployments.models.solov2.checkpoints import read_checkpoint
from deployments.models.solov2.config import Architecture, Deformable
from serve_app.cli import app
from tests.deployments.models.solov2.layouts import LIGHT, random_state
from tests.photos import astronaut


def checkpoint(path: Path, architecture: Architecture, **meta: object) -> Path:
    torch.save({"meta": meta, "state_dict": random_state(architecture)}, path)
    return path


def test_a_converted_checkpoint_serves(tmp_path: Path) -> None:
    architecture = Architecture(backbone="resnet18", **LIGHT)
    source = checkpoint(tmp_path / "epoch_36.pth", architecture)
    card = convert(source, tmp_path / "mine.safetensors", "mine", "MIT")
    assert card == read_card(tmp_path / "mine.yaml")
    assert (card.identity, card.licence, card.labels) == ("mine@1", "MIT", CLASSES)
    assert "mmdetection" in card.description
    assert "epoch_36.pth" in card.description
    assert read_checkpoint(tmp_path / "mine.safetensors").image_spec == card.image

    model = load(str(tmp_path / "mine.yaml"), "instance_segmentation", "cpu", threads=1)
    photo = prepare(np.ascontiguousarray(astronaut()), card.image)
    item = Item(photo, Call(512, 512, InstanceSegmentationOptions(), float("inf"), "test"))
    (raw,) = model.run(model.collate([item]))
    model.finish(item, raw)


def test_converting_twice_changes_nothing(tmp_path: Path) -> None:
    architecture = Architecture(
        backbone="resnet18",
        deformable=Deformable(backbone_layers=(), head_convolutions=1, mask_features=False),
        **LIGHT,
    )
    source = checkpoint(tmp_path / "a.pth", architecture)
    once = convert(source, tmp_path / "once.safetensors", "mine", "MIT")
    twice = convert(tmp_path / "once.safetensors", tmp_path / "twice.safetensors", "mine", "MIT")
    assert once.network == twice.network
    assert Architecture.model_validate(once.network) == architecture
    first, second = (read_tensor_file(tmp_path / f"{name}.safetensors") for name in ("once", "twice"))
    assert first.metadata == second.metadata
    assert first.tensors.keys() == second.tensors.keys()
    assert all(torch.equal(tensor, second.tensors[key]) for key, tensor in first.tensors.items())


@pytest.mark.parametrize(
    ("meta", "labels"),
    [
        ({}, ("class 0", "class 1", "class 2")),
        ({"CLASSES": ("cat", "dog", "cow")}, ("cat", "dog", "cow")),
        ({"CLASSES": ("cat",)}, ("class 0", "class 1", "class 2")),
    ],
)
def test_labels(tmp_path: Path, meta: dict[str, object], labels: tuple[str, ...]) -> None:
    source = checkpoint(tmp_path / "a.pth", Architecture(backbone="resnet18", classes=3, **LIGHT), **meta)
    assert convert(source, tmp_path / "b.safetensors", "mine", "MIT").labels == labels


def test_wrong_names_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "a.pth", Architecture(backbone="resnet18", **LIGHT))
    with pytest.raises(ValueError, match=r"does not end in \.safetensors"):
        convert(source, tmp_path / "b.pth", "mine", "MIT")
    with pytest.raises(ValueError, match="name"):
        convert(source, tmp_path / "b.safetensors", "../mine", "MIT")
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]


def test_the_command(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "a.pth", Architecture(backbone="resnet18", **LIGHT))
    arguments = ["--name", "mine", "--licence", "MIT"]
    done = CliRunner().invoke(app, ["convert", str(source), str(tmp_path / "b.safetensors"), *arguments])
    assert done.exit_code == 0, done.output
    assert read_card(tmp_path / "b.yaml").name == "mine"
    source.write_bytes(b"hello world")
    failed = CliRunner().invoke(app, ["convert", str(source), str(tmp_path / "c.safetensors"), *arguments])
    assert failed.exit_code == 2
    assert "a.pth is neither" in failed.output
