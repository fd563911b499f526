import contextlib
import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from deployments.models.exported.archive import read_archive
from deployments.models.exported.program import Program
from tests.deployments.models.exported.programs import archive, changed, save, with_json, written

CPU = torch.device("cpu")


class Payload:
    """Makes a directory when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def code(path: Path) -> str:
    """An expression that makes a directory when it is evaluated."""
    return f"__import__('os').mkdir({str(path)!r})"


def test_graph_and_tensors(tmp_path: Path) -> None:
    read = read_archive(written(tmp_path / "a.pt2", archive()))
    assert {name: tuple(t.shape) for name, t in read.weights.items()} == {"corner.weight": (1, 3, 1, 1), "extent": (4,)}
    assert read.weights["extent"].tolist() == [-2, -2, 10, 10]
    assert read.output_tree is not None


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6.0).view(2, 3).T,
        torch.arange(6.0)[2:4],
        torch.zeros(0, 3),
        torch.tensor(5),
        torch.tensor([True, False]),
        torch.tensor([1.5], dtype=torch.bfloat16),
        torch.tensor([-3], dtype=torch.int8),
    ],
)
def test_tensors_of_every_kind(tmp_path: Path, tensor: torch.Tensor) -> None:
    class Module(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("kept", tensor)
            self.register_buffer("passing", tensor, persistent=False)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images + self.kept.sum() + self.passing.sum()

    read = read_archive(written(tmp_path / "a.pt2", save(Module(), torch.rand(1))))
    for found in (read.weights["kept"], read.constants["passing"]):
        assert found.dtype == tensor.dtype
        assert torch.equal(found, tensor)


def test_pickled_sample_inputs_are_not_looked_at(tmp_path: Path) -> None:
    made = tmp_path / "made"
    buffer = io.BytesIO()
    torch.save((Payload(made),), buffer)
    hostile = changed(archive(), "data/sample_inputs/model.pt", lambda _: buffer.getvalue())
    path = written(tmp_path / "a.pt2", hostile)
    Program(read_archive(path), CPU)
    assert not made.exists()
    torch.export.load(path)  # which shows that the file could
    assert made.exists()


def test_sizes_are_not_evaluated(tmp_path: Path) -> None:
    made = tmp_path / "made"

    def poison(document: Any) -> None:
        values = document["graph_module"]["graph"]["tensor_values"]
        values["images"]["sizes"][0]["as_expr"]["expr_str"] = code(made)

    path = written(tmp_path / "a.pt2", with_json(archive(), poison))
    with pytest.raises(ValueError, match="a size that cannot be checked: __import__"):
        Program(read_archive(path), CPU)
    assert not made.exists()
    with contextlib.suppress(Exception):
        torch.export.load(path)  # which goes wrong, but too late
    assert made.exists()


def test_guards_are_not_evaluated(tmp_path: Path) -> None:
    made = tmp_path / "made"

    def poison(document: Any) -> None:
        document["guards_code"] = [f"{code(made)} is None"]

    path = written(tmp_path / "a.pt2", with_json(archive(), poison))
    with pytest.raises(ValueError, match="a guard that cannot be checked: __import__"):
        Program(read_archive(path), CPU)
    assert not made.exists()
    torch.export.load(path).module()(torch.rand(2, 3, 64, 64))  # which shows that the file could
    assert made.exists()


def test_names_are_not_compiled(tmp_path: Path) -> None:
    made = tmp_path / "made"
    name = f"images={code(made)}"

    def rename(content: bytes) -> bytes:
        return content.replace(b'"images"', json.dumps(name).encode())

    unguarded = with_json(archive(), lambda document: document["guards_code"].clear())
    path = written(tmp_path / "a.pt2", changed(unguarded, "models/model.json", rename))
    program = Program(read_archive(path), CPU)
    assert program.input == name
    program(torch.rand(1, 3, 64, 64), ["boxes"])
    assert not made.exists()


@pytest.mark.parametrize("kind", ["weights", "constants"])
def test_pickled_tensors_are_refused(tmp_path: Path, kind: str) -> None:
    made = tmp_path / "made"
    entry = {"path_name": "custom_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    hostile = with_json(
        archive(), lambda document: document["config"].update(mine=entry), f"data/{kind}/model_{kind}_config.json"
    )
    with zipfile.ZipFile(buffer := io.BytesIO(hostile), "a") as target:
        root = target.namelist()[0].partition("/")[0]
        target.writestr(f"{root}/data/{kind}/custom_obj_0", pickle.dumps(Payload(made)))
    with pytest.raises(ValueError, match=r"a\.pt2 cannot be read: mine is pickled, which could run code"):
        read_archive(written(tmp_path / "a.pt2", buffer.getvalue()))
    assert not made.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"sizes": [{"as_int": 2**40}]},
        {"sizes": [{"as_int": 2**32}, {"as_int": 2**32}], "strides": [{"as_int": 0}, {"as_int": 0}]},
        {"sizes": [{"as_int": -1}]},
        {"sizes": [{"as_int": 5}], "strides": [{"as_int": 0}]},
        {"storage_offset": {"as_int": 1}},
        {"strides": [{"as_int": 2}]},
        {"dtype": 99},
        {"layout": 1},
        {"sizes": [{"as_expr": {"expr_str": "2"}}]},
    ],
)
def test_tensors_that_their_bytes_do_not_hold_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    data = with_json(
        archive(),
        lambda document: document["config"]["extent"]["tensor_meta"].update(change),
        "data/weights/model_weights_config.json",
    )
    with pytest.raises(ValueError, match=r"a\.pt2 cannot be read"):
        read_archive(written(tmp_path / "a.pt2", data))


def test_files_that_are_no_such_archive_are_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pt2")
    with pytest.raises(ValueError, match=r"a\.pt2 cannot be read: it holds no program of torch\.export\.save"):
        read_archive(tmp_path / "a.pt2")
    for data in (b"", b"PK\x03\x04", archive()[:200]):
        with pytest.raises(ValueError, match=r"a\.pt2 is damaged"):
            read_archive(written(tmp_path / "a.pt2", data))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("a/models/model.json", " " * 10**6)
    with pytest.raises(ValueError, match="compressed"):
        read_archive(written(tmp_path / "a.pt2", packed.getvalue()))
    with pytest.raises(OSError, match="missing"):
        read_archive(tmp_path / "missing.pt2")


def test_another_schema_is_named(tmp_path: Path) -> None:
    data = with_json(archive(), lambda document: document["schema_version"].update(major=9))
    with pytest.raises(ValueError, match="schema is of version 9, not 8"):
        read_archive(written(tmp_path / "a.pt2", data))


JUNK = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just([]) | st.just({}) | st.just([[1]])


@given(choices=st.lists(st.integers(0, 10**6), min_size=1, max_size=12), junk=JUNK)
def test_a_graph_with_anything_in_it_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, choices: list[int], junk: Any
) -> None:
    def spoil(document: Any) -> None:
        """Go down as the choices say, and put the junk there."""
        for choice in choices:
            keys = list(document) if isinstance(document, dict) else list(range(len(document)))
            key = keys[choice % len(keys)]
            if choice is choices[-1] or not isinstance(document[key], dict | list) or not document[key]:
                document[key] = junk
                return
            document = document[key]

    path = written(tmp_path_factory.getbasetemp() / "spoilt.pt2", with_json(archive(), spoil))
    with contextlib.suppress(ValueError):
        Program(read_archive(path), CPU)
