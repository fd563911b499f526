import io
import json
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file
from torch import Tensor, nn

from deployments.models.checkpoints.tensor_files import read_tensor_file


def tensors() -> "OrderedDict[str, Tensor]":
    """One of each layout and type that a checkpoint may hold."""
    torch.manual_seed(0)
    shared = torch.randn(10)
    return OrderedDict(
        plain=torch.randn(3, 4),
        scalar=torch.tensor(5),
        transposed=torch.randn(4, 3).half().t(),
        channels_last=torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        parameter=nn.Parameter(torch.randn(2)),
        empty=torch.empty(0, 3),
        bfloat16=torch.randn(5).bfloat16(),
        double=torch.randn(2, 2, dtype=torch.float64),
        view=shared[:4],
        overlapping_view=shared[2:],
    )


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for key, tensor in expected.items():
        assert found[key].dtype == tensor.dtype
        assert torch.equal(found[key], tensor.detach()), key
        assert found[key].is_contiguous()


@pytest.mark.parametrize("zipped", [True, False], ids=["present format", "before torch 1.6"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_torch_files(tmp_path: Path, zipped: bool, protocol: int) -> None:
    path = tmp_path / "model.pth"
    weights = tensors()
    for content in (weights, {"state_dict": weights}, {"model": dict(weights), "optimizer": {0: torch.ones(3)}}):
        torch.save(content, path, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
        file = read_tensor_file(path)
        assert file.form == "torch"
        assert_equal(file.tensors, weights)
    torch.save({f"module.{key}": tensor for key, tensor in weights.items()}, path)
    assert_equal(read_tensor_file(path).tensors, weights)


class HistoryBuffer:
    """Such as mmengine puts beside the weights; unknown to whoever reads the file."""

    def __init__(self) -> None:
        self.values = np.arange(5.0)

    def __setstate__(self, state: Any) -> None:
        raise AssertionError("it was built")


@pytest.mark.parametrize(
    "meta", [{"CLASSES": ("cat", "dog")}, {"dataset_meta": {"classes": ["cat", "dog"]}}], ids=["2", "3"]
)
def test_training_checkpoints_of_mmdetection(tmp_path: Path, meta: dict[str, Any]) -> None:
    path = tmp_path / "epoch_12.pth"
    content = {"meta": meta, "state_dict": tensors(), "message_hub": {"log": HistoryBuffer()}}
    torch.save(content, path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    file = read_tensor_file(path)
    assert file.labels == ("cat", "dog")
    assert_equal(file.tensors, tensors())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_paddle_files(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "model.pdparams"
    rng = np.random.default_rng(0)
    arrays = {
        "plain": rng.standard_normal((3, 4)).astype(np.float32),
        "columns_first": np.asfortranarray(rng.standard_normal((3, 4))),
        "scalar": np.array(3.0, np.float32),
        "big_endian": np.arange(4, dtype=">f4"),
        "half": np.ones(3, np.float16),
        "pair": np.arange(5),
    }
    content = arrays | {
        "pair": ("conv2d_0.w_0", arrays["pair"]),
        "StructuredToParameterName@@": {"pair": "conv2d_0.w_0"},
    }
    path.write_bytes(pickle.dumps(content, protocol))
    file = read_tensor_file(path)
    assert file.form == "paddle"
    native = {key: array.astype(array.dtype.newbyteorder("=")) for key, array in arrays.items()}
    assert_equal(file.tensors, {key: torch.from_numpy(array) for key, array in native.items()})


def test_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.arange(3)}, path, {"note": "x"})
    file = read_tensor_file(path)
    assert (file.form, file.metadata) == ("safetensors", {"note": "x"})
    assert_equal(file.tensors, {"a": torch.arange(3)})


def rewrite(source: Path, target: Path, change: Any, compression: int = zipfile.ZIP_STORED) -> None:
    """Copy a torch file with its pickle changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for entry in old.infolist():
            data = old.read(entry)
            new.writestr(entry.filename, change(data) if entry.filename.endswith("data.pkl") else data)


def refused(path: Path, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        read_tensor_file(path)
    assert path.name in str(caught.value)
    assert str(path.parent) not in str(caught.value)


def test_tensors_that_claim_more_than_the_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    for tensor in (torch.ones(1).expand(1000, 1000, 1000), torch.ones(1).expand(3)):
        torch.save({"a": tensor}, path)
        refused(path, "larger than its storage")
    good = tmp_path / "good.pth"
    torch.save({"a": torch.arange(200.0)}, good)
    assert len(read_tensor_file(good).tensors["a"]) == 200
    # BININT1 200, the shape and the storage's own size, becomes 255
    rewrite(good, path, lambda data: data.replace(b"K\xc8", b"K\xff"))
    refused(path, "larger than its storage")
    rewrite(good, path, lambda data: data.replace(b"K\xc8", b"J\xff\xff\xff\xff"))
    refused(path, "impossible shape")


def test_arrays_whose_bytes_do_not_match(tmp_path: Path) -> None:
    path = tmp_path / "model.pdparams"
    data = pickle.dumps({"a": np.arange(200, dtype=np.uint8)}, 4)
    path.write_bytes(data.replace(b"K\xc8\x85", b"K\xff\x85"))
    refused(path, "disagree")
    path.write_bytes(data.replace(b"u1", b"O8"))
    refused(path, "unknown type")
    path.write_bytes(pickle.dumps({"a": np.array([object()])}))
    refused(path, "unknown type")


def test_damaged_files(tmp_path: Path) -> None:
    good = tmp_path / "good.pth"
    torch.save(tensors(), good)
    path = tmp_path / "model.pth"
    rewrite(good, path, lambda data: data, zipfile.ZIP_DEFLATED)
    refused(path, "compressed")
    rewrite(good, path, lambda data: data[:-50])
    refused(path, "malformed pickle")
    whole = good.read_bytes()
    for end in (10, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:end])
        refused(path, "damaged|cannot be read")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/readme.txt", "hello")
    refused(path, "data.pkl")
    torch.save(tensors(), good, _use_new_zipfile_serialization=False)
    path.write_bytes(good.read_bytes()[:-100])
    refused(path, "larger than its storage")


@pytest.mark.parametrize("content", [b"", b"hello world", b"\x80", b"PK\x03\x04", struct.pack("<Q", 2**60) + b"{}"])
def test_other_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    refused(path, "model.bin")


def test_safetensors_that_claim_too_much(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    header = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    refused(path, "damaged")


def test_an_archive_whose_entries_lie_before_its_start(tmp_path: Path) -> None:
    good, path = tmp_path / "good.pth", tmp_path / "model.pth"
    torch.save(tensors(), good)
    rewrite(good, path, lambda data: data)
    data = path.read_bytes()
    path.write_bytes(data[:10] + data[200:])
    refused(path, "list of entries is damaged")


def saved(zipped: bool) -> bytes:
    stream = io.BytesIO()
    torch.save({"state_dict": tensors(), "meta": {"CLASSES": ("cat",)}}, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


FILES = {
    "torch": saved(True),
    "torch before 1.6": saved(False),
    "paddle": pickle.dumps({"a": np.arange(6.0).reshape(2, 3), "b": ("b_0", np.asfortranarray(np.ones((2, 2))))}, 4),
    "safetensors": save({"a": torch.arange(6.0).reshape(2, 3)}, {"note": "x"}),
}


@pytest.mark.parametrize("form", FILES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=4), st.integers(0, 4)), min_size=1, max_size=4))
def test_any_damage_is_read_or_refused(tmp_path: Path, form: str, edits: list[tuple[float, bytes, int]]) -> None:
    data = bytearray(FILES[form])
    for place, put_in, taken_out in edits:
        start = int(place * len(data))
        data[start : start + taken_out] = put_in
    path = tmp_path / "model.bin"
    path.write_bytes(data)
    try:
        found = read_tensor_file(path).tensors
    except ValueError as refusal:
        assert path.name in str(refusal)  # noqa: PT017
    else:
        assert sum(tensor.nbytes for tensor in found.values()) <= len(data) + 1000


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_tensor_file(tmp_path / "none.pth")
