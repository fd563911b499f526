import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from deployments.models.onnx.file import read_signature
from deployments.models.onnx.runtimes import OnnxRuntimeNetwork, OpenVinoFile, open_network
from tests.deployments.models.onnx.conftest import FinderFile
from tests.deployments.models.onnx.files import graph_file

CPU = torch.device("cpu")
PICTURES = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 64, 64])


@pytest.mark.parametrize("size", [(1, 48, 64), (3, 64, 96)])
def test_both_engines_answer_alike(finder: FinderFile, size: tuple[int, int, int]) -> None:
    file = finder(masks=True)
    signature = read_signature(file)
    images = torch.rand(size[0], 3, *size[1:], generator=torch.Generator().manual_seed(0))
    on_cpu = OpenVinoFile(file, signature, threads=1)(images)
    as_on_cuda = OnnxRuntimeNetwork(file, signature, CPU)(images)
    assert list(on_cpu) == list(as_on_cuda) == ["boxes", "scores", "labels", "masks"]
    for name, found in on_cpu.items():
        assert found.dtype == as_on_cuda[name].dtype
        np.testing.assert_allclose(found, as_on_cuda[name], atol=1e-5)


def test_data_beside_the_file_is_read(tmp_path: Path) -> None:
    weight = TensorProto(name="weight", data_type=TensorProto.FLOAT, dims=[3, 1, 1])
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "mine.data"), ("offset", "4"), ("length", "12")):
        weight.external_data.add(key=key, value=value)
    (tmp_path / "mine.data").write_bytes(np.array([9, 1, 2, 3], np.float32).tobytes())
    answer = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 3, 64, 64])
    multiply = helper.make_node("Mul", ["images", "weight"], ["scores"])
    file = graph_file(tmp_path / "mine.onnx", [multiply], [PICTURES], [answer], [weight])
    signature = read_signature(file)
    for network in (OpenVinoFile(file, signature, threads=1), OnnxRuntimeNetwork(file, signature, CPU)):
        found = network(torch.ones(1, 3, 64, 64))["scores"]
        assert found[0, :, 0, 0].tolist() == [1, 2, 3]


def test_a_size_that_only_the_engine_works_out_is_bounded(tmp_path: Path) -> None:
    """The standard's own shape inference knows no powers."""
    sides = numpy_helper.from_array(np.array([10, 10], np.int64), "sides")
    power = numpy_helper.from_array(np.array([6, 6], np.int64), "power")
    nodes = [
        helper.make_node("Pow", ["sides", "power"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["constant"]),
        helper.make_node("ReduceMax", ["constant"], ["most"]),
        helper.make_node("Add", ["images", "most"], ["scores"]),
    ]
    answer = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 3, 64, 64])
    file = graph_file(tmp_path / "mine.onnx", nodes, [PICTURES], [answer], [sides, power])
    signature = read_signature(file)
    with pytest.raises(ValueError, match=r"has 4000000000000 bytes; at most 1073741824 are taken"):
        OpenVinoFile(file, signature, threads=1)


def test_pictures_on_which_a_file_fails_are_named(tmp_path: Path) -> None:
    shape = numpy_helper.from_array(np.array([1, 5], np.int64), "shape")
    reshape = helper.make_node("Reshape", ["images", "shape"], ["scores"])
    pictures = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, "h", "w"])
    answer = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", "k"])
    file = graph_file(tmp_path / "mine.onnx", [reshape], [pictures], [answer], [shape])
    signature = read_signature(file)
    for network in (OpenVinoFile(file, signature, threads=1), OnnxRuntimeNetwork(file, signature, CPU)):
        with pytest.raises(ValueError, match=r"the file fails on \[1, 3, 8, 8\]: "):
            network(torch.ones(1, 3, 8, 8))


def test_cuda_without_the_extra_says_what_to_install(finder: FinderFile, monkeypatch: pytest.MonkeyPatch) -> None:
    signature = read_signature(finder())
    message = r"architecture onnx on cuda needs ONNX Runtime's GPU package: pip install 'maskgraph\[onnx-gpu\]'"
    runtime = importlib.import_module("onnxruntime")
    monkeypatch.setattr(runtime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ValueError, match=message):
        open_network(finder(), signature, torch.device("cuda"))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=message):
        open_network(finder(), signature, torch.device("cuda"))
