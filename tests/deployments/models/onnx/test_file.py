from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from deployments.models.onnx import file as file_module
from deployments.models.onnx.file import read_signature
from tests.deployments.models.onnx.conftest import FinderFile
from tests.deployments.models.onnx.files import changed, graph_file

PICTURES = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 64, 64])
ANSWER = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None] * 4)


def one_node(path: Path, *nodes: onnx.NodeProto, stored: list[TensorProto] | None = None, rank: int = 4) -> Path:
    answer = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None] * rank)
    return graph_file(path / "mine.onnx", list(nodes), [PICTURES], [answer], stored)


def stored(name: str, *values: int) -> TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def external(tmp_path: Path, **entries: str) -> Path:
    """A file whose one weight, of 12 bytes, lies where the entries say."""
    weight = TensorProto(name="weight", data_type=TensorProto.FLOAT, dims=[3, 1, 1])
    weight.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        weight.external_data.add(key=key, value=value)
    return one_node(tmp_path, helper.make_node("Mul", ["images", "weight"], ["scores"]), stored=[weight])


def test_what_a_file_takes_and_answers(finder: FinderFile) -> None:
    signature = read_signature(finder())
    assert signature.input == "images"
    assert signature.shape == (None, 3, None, None)
    assert signature.dtype == np.float32
    assert list(signature.outputs) == ["boxes", "scores", "labels"]
    fixed = read_signature(finder(fixed=(1, 48, 64)))
    assert fixed.shape == (1, 3, 48, 64)
    assert fixed.outputs["scores"] == (1, 10)


@pytest.mark.parametrize("data", [b"", b"\x80", b"no ONNX file", b"\x08\x07", b"PK\x03\x04" + bytes(100)])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"damaged, or no ONNX file|version none of ONNX's operators"):
        read_signature(path)


def test_a_cut_file_is_refused(finder: FinderFile, tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(finder().read_bytes()[:-100])
    with pytest.raises(ValueError, match="the file is damaged, or no ONNX file"):
        read_signature(path)


def test_custom_operators_are_refused_by_name(tmp_path: Path) -> None:
    custom = helper.make_node("Steal", ["images"], ["scores"], domain="com.example")
    with pytest.raises(ValueError, match=r"the custom operator com\.example\.Steal is not supported"):
        read_signature(one_node(tmp_path, custom))
    with pytest.raises(ValueError, match="ONNX has no operator 'Steal' in version 17"):
        read_signature(one_node(tmp_path, helper.make_node("Steal", ["images"], ["scores"])))


def test_custom_operators_of_a_nested_graph_are_refused_by_name(tmp_path: Path) -> None:
    inner = helper.make_graph([helper.make_node("Steal", ["images"], ["inner"], domain="com.example")], "inner", [], [])
    branch = helper.make_node("If", ["condition"], ["scores"], then_branch=inner, else_branch=inner)
    condition = numpy_helper.from_array(np.array(True), "condition")
    with pytest.raises(ValueError, match=r"the custom operator com\.example\.Steal"):
        read_signature(one_node(tmp_path, branch, stored=[condition]))


def test_functions_and_training_are_refused(finder: FinderFile, tmp_path: Path) -> None:
    def altered(change: Callable[[ModelProto], object]) -> Path:
        path = tmp_path / "mine.onnx"
        path.write_bytes(finder().read_bytes())
        return changed(path, change)

    with pytest.raises(ValueError, match=r"defines functions of its own \(Bomb\)"):
        read_signature(altered(lambda model: model.functions.add(name="Bomb", domain="mine")))
    with pytest.raises(ValueError, match="the file holds training information"):
        read_signature(altered(lambda model: model.training_info.add()))
    with pytest.raises(ValueError, match="the file uses version 999 of ONNX's operators"):
        read_signature(altered(lambda model: setattr(model.opset_import[0], "version", 999)))


def test_text_that_is_no_utf8_is_refused(finder: FinderFile, tmp_path: Path) -> None:
    data = finder().read_bytes()
    for name in (b"images", b"scores", b"TopK"):
        assert name in data
        path = tmp_path / "mine.onnx"
        path.write_bytes(data.replace(name, b"\xff" * len(name)))
        with pytest.raises(ValueError, match=r"text that is no UTF-8: b'.xff"):
            read_signature(path)


def test_several_inputs_are_refused_by_name(tmp_path: Path) -> None:
    sizes = helper.make_tensor_value_info("sizes", TensorProto.FLOAT, ["n", 1, 1, 1])
    add = helper.make_node("Add", ["images", "sizes"], ["scores"])
    with pytest.raises(ValueError, match=r"the graph has 2 inputs \(images, sizes\); it must have one"):
        read_signature(graph_file(tmp_path / "mine.onnx", [add], [PICTURES, sizes], [ANSWER]))
    constant = helper.make_node("Identity", ["weight"], ["scores"])
    with pytest.raises(ValueError, match=r"the graph has 0 inputs \(none\)"):
        read_signature(graph_file(tmp_path / "mine.onnx", [constant], [], [ANSWER], [stored("weight", 1)]))


def test_stored_tensors_among_the_inputs_are_none(tmp_path: Path) -> None:
    """As in files of before 2019."""
    weight = helper.make_tensor_value_info("weight", TensorProto.FLOAT, [1])
    value = numpy_helper.from_array(np.ones(1, np.float32), "weight")
    mul = helper.make_node("Mul", ["images", "weight"], ["scores"])
    assert (
        read_signature(graph_file(tmp_path / "mine.onnx", [mul], [PICTURES, weight], [ANSWER], [value])).input
        == "images"
    )


def test_invalid_graphs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"(?s)the file is no valid ONNX: .*nowhere"):
        read_signature(one_node(tmp_path, helper.make_node("Relu", ["nowhere"], ["scores"])))
    with pytest.raises(ValueError, match=r"(?s)the file is no valid ONNX: .*perm"):
        read_signature(one_node(tmp_path, helper.make_node("Transpose", ["images"], ["scores"], perm="x")))


def test_too_many_operators_are_refused(tmp_path: Path) -> None:
    relus = [helper.make_node("Relu", ["images"], [f"value{i}"]) for i in range(file_module.MOST_NODES)]
    with pytest.raises(ValueError, match="the graph has 100001 operators; at most 100000 are taken"):
        read_signature(one_node(tmp_path, *relus, helper.make_node("Relu", ["images"], ["scores"])))


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    with path.open("wb") as sparse:
        sparse.truncate(file_module.MOST_BYTES + 1)
    with pytest.raises(ValueError, match="the file has 2147483649 bytes; at most 2147483648 are read"):
        read_signature(path)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        ({"dims": [1 << 40], "data_type": 1}, "'weight' declares 4398046511104 bytes; at most 1073741824 are taken"),
        ({"dims": [1 << 40] * 8, "data_type": 1}, "'weight' declares .* bytes; at most"),
        ({"dims": [4], "data_type": 1, "raw_data": b"12345678"}, r"'weight' of \[4\] does not hold what it declares"),
        ({"dims": [4], "data_type": 1, "float_data": [1.0]}, r"'weight' of \[4\] does not hold what it declares"),
        ({"dims": [4], "data_type": 1}, r"'weight' of \[4\] does not hold what it declares"),
        ({"dims": [-1], "data_type": 1, "float_data": [1.0]}, "'weight' has a negative side"),
        ({"dims": [1], "data_type": 8, "string_data": [b"a"]}, "'weight' is of a type that is not supported: STRING"),
        ({"dims": [1], "data_type": 77}, "'weight' is of a type that is not supported: 77"),
    ],
)
def test_tensors_hold_what_they_declare(tmp_path: Path, tensor: dict[str, object], message: str) -> None:
    weight = TensorProto(name="weight", **tensor)  # type: ignore[arg-type]
    as_weight = one_node(tmp_path, helper.make_node("Mul", ["images", "weight"], ["scores"]), stored=[weight])
    with pytest.raises(ValueError, match=message):
        read_signature(as_weight)
    constant = helper.make_node("Constant", [], ["weight"], value=weight)
    with pytest.raises(ValueError, match=message):
        read_signature(one_node(tmp_path, constant, helper.make_node("Mul", ["images", "weight"], ["scores"])))


@pytest.mark.parametrize(
    ("nodes", "rank", "message"),
    [
        ([helper.make_node("ConstantOfShape", ["huge"], ["scores"])], 2, r"value 'scores' of \[1048576, 1048576\] has"),
        ([helper.make_node("Tile", ["images", "repeats"], ["scores"])], 4, r"of \[1, 3, 67108864, 67108864\] has"),
        (
            [
                helper.make_node("Mul", ["huge", "huge"], ["shape"]),
                helper.make_node("ConstantOfShape", ["shape"], ["constant"]),
                helper.make_node("ReduceMax", ["constant"], ["scores"]),
            ],
            2,
            r"value 'constant' of \[1099511627776, 1099511627776\] has",
        ),
    ],
)
def test_sizes_that_the_file_fixes_are_bounded(
    tmp_path: Path, nodes: list[onnx.NodeProto], rank: int, message: str
) -> None:
    numbers = [stored("huge", 1 << 20, 1 << 20), stored("repeats", 1, 1, 1 << 20, 1 << 20)]
    with pytest.raises(ValueError, match=message):
        read_signature(one_node(tmp_path, *nodes, stored=numbers, rank=rank))


def test_data_beside_the_file_is_taken(tmp_path: Path) -> None:
    (tmp_path / "mine.data").write_bytes(bytes(16))
    assert read_signature(external(tmp_path, location="mine.data")).input == "images"
    assert read_signature(external(tmp_path, location="mine.data", offset="4", length="12")).input == "images"


def test_data_elsewhere_is_refused(tmp_path: Path) -> None:
    outside = tmp_path / "outside.data"
    outside.write_bytes(bytes(16))
    folder = tmp_path / "models"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "mine.data").write_bytes(bytes(16))
    (folder / "link.data").symlink_to(outside)
    for location in (
        str(outside),
        "../outside.data",
        "inner/mine.data",
        "inner\\mine.data",
        "link.data",
        "inner",
        "absent.data",
        "..",
        "",
        "*/_ORT_MEM_ADDR_/*",
        "mine.data\0",
        "file:mine.data",
    ):
        with pytest.raises(ValueError, match=r"the tensor 'weight' has its data in .*beside the model"):
            read_signature(external(folder, location=location))


@pytest.mark.parametrize(
    "entries",
    [
        {"location": "mine.data", "offset": "8"},
        {"location": "mine.data", "length": "8"},
        {"location": "mine.data", "offset": "-4"},
        {"location": "mine.data", "offset": "x"},
        {"location": "mine.data", "offset": "9" * 30},
        {"location": "mine.data", "length": "16"},
        {"offset": "0"},
        {"location": "mine.data", "basepath": "/"},
    ],
)
def test_data_beside_the_file_must_hold_the_tensor(tmp_path: Path, entries: dict[str, str]) -> None:
    (tmp_path / "mine.data").write_bytes(bytes(16))
    with pytest.raises(ValueError, match=r"the tensor 'weight' (declares data that|does not say properly)"):
        read_signature(external(tmp_path, **entries))


def test_two_places_for_one_tensor_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.data").write_bytes(bytes(16))

    def twice(model: ModelProto) -> None:
        model.graph.initializer[0].external_data.add(key="location", value="../mine.data")

    with pytest.raises(ValueError, match="does not say properly where its data lies"):
        read_signature(changed(external(tmp_path, location="mine.data"), twice))

    def inside_too(model: ModelProto) -> None:
        model.graph.initializer[0].data_location = TensorProto.DEFAULT

    with pytest.raises(ValueError, match="stored in the file and outside of it"):
        read_signature(changed(external(tmp_path, location="mine.data"), inside_too))


def test_many_empty_values_are_refused_before_they_are_allocated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 MB of empty operators took 1.5 GB and a minute to parse."""
    monkeypatch.setattr(file_module, "MOST_FIELDS", 1000)
    graph = b"\x0a\x00" * 1000
    path = tmp_path / "mine.onnx"
    path.write_bytes(b"\x08\x0a\x3a" + bytes([len(graph) & 0x7F | 0x80, len(graph) >> 7]) + graph)
    with pytest.raises(ValueError, match="the file has more than 1000 fields"):
        read_signature(path)
