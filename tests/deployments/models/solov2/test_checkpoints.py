import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from deployments.imaging.spec import KeepRatio
from deployments.models.solov2.checkpoints import (
    default_image_spec,
    infer_architecture,
    read_checkpoint,
)
from deployments.models.solov2.config import Architecture, Deformable
from deployments.models.solov2.key_maps import Kind, detect, rename
from deployments.models.solov2.network import Solov2
from tests.deployments.models.solov2.layouts import LIGHT, VARIANTS, paddle_keys, random_state, write
from tests.photos import SHARED

KEY_LISTS = SHARED / "specs" / "state_dict_keys"
LIGHT_HEAD = {"head_channels": 256, "kernel_channels": 128}
PUBLISHED = {
    "mmdet_solov2-light_r18_fpn_ms-3x_coco": Architecture(backbone="resnet18", head_convolutions=2, **LIGHT_HEAD),
    "mmdet_solov2-light_r50_fpn_ms-3x_coco": Architecture(head_convolutions=2, **LIGHT_HEAD),
    "mmdet_solov2-light_r50-dcn_fpn_ms-3x_coco": Architecture(
        head_convolutions=3, deformable=Deformable(head_convolutions=1, mask_features=False), **LIGHT_HEAD
    ),
    "mmdet_solov2_r101-dcn_fpn_ms-3x_coco": Architecture(backbone="resnet101", deformable=Deformable()),
    "mmdet_solov2_r50_fpn_1x_coco": Architecture(),
    "paddledetection_solov2_r50": Architecture(),
    "paddledetection_solov2_r50_enhance": Architecture(
        backbone="resnet50_vd",
        head_convolutions=3,
        deformable=Deformable(head_convolutions=1, bias=True),
        **LIGHT_HEAD,
    ),
}


def shapes_of(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {key: tuple(tensor.shape) for key, tensor in Solov2(architecture).state_dict().items()}


@pytest.mark.skipif(not KEY_LISTS.is_dir(), reason="the published key lists of ../shared are not here")
@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_published_keys(name: str) -> None:
    lines = (KEY_LISTS / f"{name}.txt").read_text().splitlines()
    listed = {key: tuple(json.loads(shape.removesuffix(" float32"))) for key, shape in (x.split(" ", 1) for x in lines)}
    names = rename(listed, detect(listed))
    found = {names[key]: shape for key, shape in listed.items()}
    assert infer_architecture(found) == PUBLISHED[name]
    expected = shapes_of(PUBLISHED[name])
    if name.startswith("paddle"):
        expected = {key: shape for key, shape in expected.items() if not key.endswith("num_batches_tracked")}
        assert {name for names in paddle_keys(expected).values() for name in names} == listed.keys()
    assert found == expected


@pytest.mark.skipif(not KEY_LISTS.is_dir(), reason="the published key lists of ../shared are not here")
def test_every_published_list_is_compared() -> None:
    assert {path.stem for path in KEY_LISTS.glob("*.txt")} == PUBLISHED.keys()


@pytest.mark.parametrize(("kind", "variant"), VARIANTS, ids=lambda part: part)
def test_round_trip(tmp_path: Path, kind: Kind, variant: str) -> None:
    architecture = VARIANTS[kind, variant]
    state = random_state(architecture)
    path = tmp_path / "checkpoint"
    write(path, kind, state)
    checkpoint = read_checkpoint(path)
    assert checkpoint.kind == kind
    assert checkpoint.architecture == architecture
    assert list(checkpoint.state) == list(shapes_of(architecture))
    for key, tensor in state.items():
        assert torch.equal(checkpoint.state[key], tensor.float() if tensor.is_floating_point() else tensor), key
    assert {tensor.dtype for tensor in checkpoint.state.values()} == {torch.float32, torch.int64}
    path.unlink()


@pytest.mark.parametrize(
    ("kind", "architecture", "short_side", "long_side"),
    [
        ("mmdetection", Architecture(), 800, 1333),
        ("mmdetection", PUBLISHED["mmdet_solov2-light_r18_fpn_ms-3x_coco"], 448, 768),
        ("mmdetection", PUBLISHED["mmdet_solov2-light_r50-dcn_fpn_ms-3x_coco"], 448, 768),
        ("solo", Architecture(), 800, 1333),
        ("solo", PUBLISHED["mmdet_solov2-light_r18_fpn_ms-3x_coco"], 448, 768),
        ("solo", PUBLISHED["mmdet_solov2-light_r50-dcn_fpn_ms-3x_coco"], 512, 852),
        ("paddledetection", Architecture(), 800, 1333),
        ("paddledetection", PUBLISHED["paddledetection_solov2_r50_enhance"], 512, 852),
    ],
)
def test_each_familys_preprocessing(kind: Kind, architecture: Architecture, short_side: int, long_side: int) -> None:
    spec = default_image_spec(kind, architecture)
    assert spec.resize == KeepRatio(rule="keep_ratio", short_side=short_side, long_side=long_side)
    assert (spec.color_order, spec.interpolation, spec.pad_multiple) == ("rgb", "opencv_bilinear", 32)
    # both say the same of a pixel: ImageNet's mean is black, a deviation above it is one
    for channel, (mean, deviation) in enumerate([(123.675, 58.395), (116.28, 57.12), (103.53, 57.375)]):
        assert (mean * spec.scale - spec.mean[channel]) / spec.std[channel] == pytest.approx(0, abs=1e-6)
        assert (mean + deviation) * spec.scale - spec.mean[channel] == pytest.approx(spec.std[channel])
    assert spec.scale == (pytest.approx(1 / 255) if kind == "paddledetection" else 1)


@pytest.fixture(scope="module")
def light() -> dict[str, Tensor]:
    return random_state(Architecture(backbone="resnet18", **LIGHT))


def test_our_own_safetensors_state_their_architecture(tmp_path: Path) -> None:
    architecture = Architecture(backbone="resnet18", grids=(32, 24, 16, 12), **LIGHT)
    spec = default_image_spec("mmdetection", architecture).model_copy(update={"pad_multiple": 64})
    path = tmp_path / "own.safetensors"
    state = random_state(architecture)
    save_file(state, path)
    assert read_checkpoint(path).architecture.grids == Architecture().grids
    save_file(state, path, {"architecture": architecture.model_dump_json(), "image": spec.model_dump_json()})
    checkpoint = read_checkpoint(path)
    assert (checkpoint.kind, checkpoint.architecture, checkpoint.image_spec) == ("maskgraph", architecture, spec)


def test_class_names_of_the_checkpoint(tmp_path: Path, light: dict[str, Tensor]) -> None:
    path = tmp_path / "model.pth"
    torch.save({"meta": {"dataset_meta": {"classes": ("a", "b")}}, "state_dict": light}, path)
    assert read_checkpoint(path).labels == ("a", "b")


def test_what_does_not_fit_is_listed(tmp_path: Path, light: dict[str, Tensor]) -> None:
    state = dict(light)
    del state["neck.fpn_convs.1.conv.bias"]
    state["backbone.fc.weight"] = torch.zeros(1)
    state["mask_head.conv_kernel.bias"] = torch.zeros(7)
    path = tmp_path / "model.pth"
    torch.save(state, path)
    with pytest.raises(ValueError, match=r"^model\.pth: the tensors do not fit a SOLOv2") as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert "1 missing: neck.fpn_convs.1.conv.bias;" in message
    assert "1 unexpected: backbone.fc.weight;" in message
    assert "1 of the wrong shape: mask_head.conv_kernel.bias [7] instead of [32]" in message


def test_half_a_checkpoint_is_refused_not_guessed(tmp_path: Path, light: dict[str, Tensor]) -> None:
    path = tmp_path / "model.pth"
    for part in ("neck.", "mask_head.conv_", "mask_head.cls_convs.", "backbone.layer1."):
        torch.save({key: tensor for key, tensor in light.items() if not key.startswith(part)}, path)
        with pytest.raises(ValueError, match=f"missing: .*{part}"):
            read_checkpoint(path)
    torch.save({key: tensor for key, tensor in light.items() if not key.startswith("backbone.layer3.1.")}, path)
    with pytest.raises(ValueError, match="1 blocks in its third layer"):
        read_checkpoint(path)


def test_duplicates_must_agree(tmp_path: Path) -> None:
    state = random_state(Architecture(backbone="resnet50", **LIGHT))
    path = tmp_path / "model.pdparams"
    arrays = {name: state[key].numpy() for key, names in paddle_keys(state).items() for name in names}
    arrays["solov2_head.solo_cate.bias"] = arrays["solov2_head.solo_cate.bias"] + 1
    path.write_bytes(pickle.dumps(arrays, 4))
    with pytest.raises(ValueError, match=r"two different tensors for mask_head\.conv_cls\.bias"):
        read_checkpoint(path)


def test_other_models_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    for content in ({}, {"fc.weight": torch.zeros(2)}, {"epoch": 3}, [torch.zeros(2)], torch.zeros(2)):
        torch.save(content, path)
        with pytest.raises(ValueError, match="no SOLOv2 of mmdetection, SOLO or PaddleDetection"):
            read_checkpoint(path)
    path.write_bytes(pickle.dumps({f"solov2_head.{i}": np.zeros(1) for i in range(10_001)}, 4))
    with pytest.raises(ValueError, match="10001 tensors"):
        read_checkpoint(path)


def test_absurd_widths_are_refused(tmp_path: Path, light: dict[str, Tensor]) -> None:
    path = tmp_path / "model.pth"
    torch.save(light | {"mask_head.conv_cls.weight": torch.zeros(200_000, 1, 1, 1)}, path)
    with pytest.raises(ValueError, match="classes"):
        read_checkpoint(path)


class Attack:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> object:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("form", ["zip", "legacy", "paddle"])
@pytest.mark.parametrize("place", ["beside the weights", "as a weight"])
def test_no_code_runs(tmp_path: Path, light: dict[str, Tensor], form: str, place: str) -> None:
    marker, path = tmp_path / "marker", tmp_path / "model"
    if form == "paddle":
        state: dict[str, object] = {key: tensor.numpy() for key, tensor in light.items()}
    else:
        state = dict(light)
    content: dict[str, object] = {"state_dict": state, "optimizer": Attack(marker)}
    if place == "as a weight":
        content = state | {"backbone.bn1.bias": Attack(marker)}
    elif form == "paddle":
        content = state | {"optimizer": Attack(marker)}
    if form == "paddle":
        path.write_bytes(pickle.dumps(content, 4))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    if place == "as a weight":
        with pytest.raises(ValueError, match=r"1 missing: backbone\.bn1\.bias"):
            read_checkpoint(path)
    else:
        assert read_checkpoint(path).state.keys() == light.keys()
    assert not marker.exists()
