"""Weights of every kind, and ONNX files."""

import pickle
import zipfile
from io import BytesIO
from typing import Any

import numpy as np
import onnx as onnx_format
import torch
from onnx import TensorProto, helper
from safetensors.torch import save

from benchmarks.fuzzing.target import Target, of_path
from deployments.models.checkpoints.tensor_files import read_tensor_file
from deployments.models.onnx.file import read_signature


def _tensors() -> dict[str, torch.Tensor]:
    return {"a": torch.arange(6.0).reshape(2, 3).t(), "b.weight": torch.ones(3).half(), "c": torch.tensor(5)}


def _torch_file(content: Any, **options: Any) -> bytes:
    buffer = BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def torch_archive() -> Target:
    """torch's present format."""
    meta = {"meta": {"CLASSES": ("cat", "dog")}, "state_dict": _tensors()}
    seeds = {"plain": _torch_file(_tensors()), "training": _torch_file(meta)}
    return Target(seeds, of_path(read_tensor_file, ".pth"))


def torch_pickle() -> Target:
    """The pickle in torch's present format, in an archive whose checksums fit."""
    content = _torch_file({"meta": {"CLASSES": ("cat", "dog")}, "state_dict": _tensors()})
    check_file = of_path(read_tensor_file, ".pth")
    with zipfile.ZipFile(BytesIO(content)) as whole:
        others = {name: whole.read(name) for name in whole.namelist() if not name.endswith("data.pkl")}
        (name,) = (name for name in whole.namelist() if name.endswith("data.pkl"))
        seed = whole.read(name)

    def check(data: bytes) -> None:
        buffer = BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for other, stored in {**others, name: data}.items():
                archive.writestr(other, stored)
        check_file(buffer.getvalue())

    return Target({"pickle": seed}, check)


def torch_legacy() -> Target:
    """torch's format before version 1.6."""
    seed = _torch_file(_tensors(), _use_new_zipfile_serialization=False)
    return Target({"plain": seed}, of_path(read_tensor_file, ".pth"))


def paddle() -> Target:
    """Paddle's .pdparams: pickles of every protocol."""
    content = {"a": np.arange(6, dtype="f4").reshape(2, 3), "b": ("b_0", np.asfortranarray(np.ones((2, 2))))}
    seeds = {f"protocol{protocol}": pickle.dumps(content, protocol) for protocol in range(2, 6)}
    return Target(seeds, of_path(read_tensor_file, ".pdparams"))


def safetensors() -> Target:
    """safetensors."""
    data = {name: tensor.contiguous() for name, tensor in _tensors().items()}
    seed = save(data, {"note": "x"})
    return Target({"plain": seed}, of_path(read_tensor_file, ".safetensors"))


def onnx() -> Target:
    """ONNX: a network of a few operators, one of them with nested graphs, one with external data."""
    floats = [TensorProto.FLOAT, [None, 3, 8, 8]]
    images = helper.make_tensor_value_info("images", *floats)
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)
    weight = onnx_format.numpy_helper.from_array(np.ones((1, 3, 1, 1), "f4"), "weight")
    branch = helper.make_graph([helper.make_node("Identity", ["features"], ["inner"])], "branch", [], [scores])
    branch.output[0].name = "inner"
    nodes = [
        helper.make_node("Conv", ["images", "weight"], ["features"], strides=[2, 2]),
        helper.make_node("Constant", [], ["yes"], value=onnx_format.numpy_helper.from_array(np.array(True))),
        helper.make_node("If", ["yes"], ["scores"], then_branch=branch, else_branch=branch),
    ]
    graph = helper.make_graph(nodes, "graph", [images], [scores], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    seeds = {"small": model.SerializeToString()}
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "input.onnx"), ("offset", "0"), ("length", "12")):
        tensor.external_data.add(key=key, value=value)
    return Target({**seeds, "external": model.SerializeToString()}, of_path(read_signature, ".onnx"))
