import os
import pickle
import subprocess
import sys
from collections import OrderedDict
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.models.checkpoints.pickle_data import MAX_INSTRUCTIONS, Call, Name, called, items_of, read_pickle
from deployments.models.checkpoints.tensor_files import read_tensor_file

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.tuples(inner)
        | st.dictionaries(st.text() | st.integers(0, 99), inner)
    ),
    max_leaves=20,
)


def read(data: bytes) -> Any:
    return read_pickle(BytesIO(data)).value


@given(PLAIN, st.sampled_from([3, 4, 5]))
def test_plain_values_come_back(value: Any, protocol: int) -> None:
    assert read(pickle.dumps(value, protocol)) == value


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists), st.sampled_from([0, 1, 2]))
def test_old_protocols(value: Any, protocol: int) -> None:
    assert read(pickle.dumps(value, protocol)) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for start in (b"", b"\x80\x04"):
        try:
            read(start + data)
        except ValueError:
            continue


@given(PLAIN, st.integers(0, 200), st.binary(min_size=1, max_size=3))
def test_damaged_pickles_are_read_or_refused(value: Any, position: int, damage: bytes) -> None:
    data = pickle.dumps(value)
    try:
        read(data[:position] + damage + data[position + len(damage) :])
    except ValueError:
        return


def test_objects_are_recorded() -> None:
    value = OrderedDict(a=1)
    value.extra = "state"  # type: ignore[attr-defined]
    found = read(pickle.dumps(value))
    assert called(found) == "collections.OrderedDict"
    assert items_of(found) == {"a": 1}
    assert found.state == {"extra": "state"}
    assert items_of(read(pickle.dumps({"b": 2}))) == {"b": 2}
    assert items_of(7) == {}
    assert read(pickle.dumps(Path)) == Name("pathlib.Path")


def test_what_follows_the_pickle_is_left_in_the_stream() -> None:
    stream = BytesIO(pickle.dumps(1) + pickle.dumps(2) + b"rest")
    assert [read_pickle(stream).value for _ in range(2)] == [1, 2]
    assert stream.read() == b"rest"


class Runs:
    """Unpickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def hostile(marker: Path) -> dict[str, bytes]:
    """Pickles that make Python create ``marker``."""
    command = f"touch {marker}"
    shell = command.encode()
    python = f"open({str(marker)!r}, 'w')"
    text = b"V" + shell + b"\n"
    nested = Runs(Runs(getattr, Runs(__import__, "os"), "system"), command)  # type: ignore[arg-type]
    short = bytes([len(shell)]) + shell
    pickles = {f"os.system {protocol}": pickle.dumps(Runs(os.system, command), protocol) for protocol in range(6)}
    return pickles | {
        "eval": pickle.dumps(Runs(eval, python)),
        "exec": pickle.dumps(Runs(exec, python)),
        "subprocess": pickle.dumps(Runs(subprocess.run, ["touch", str(marker)])),
        "in a dictionary": pickle.dumps({"a": [Runs(os.system, command)]}),
        "as a key": b"(" + b"cos\nsystem\n(" + text + b"tRI1\nd.",
        "nested getattr": pickle.dumps(NestedCall(nested)),
        "GLOBAL": b"cos\nsystem\n(" + text + b"tR.",
        "INST": b"(" + text + b"ios\nsystem\n.",
        "OBJ": b"(cos\nsystem\n" + text + b"o.",
        "STACK_GLOBAL": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c" + short + b"\x85R.",
        "STACK_GLOBAL of remembered names": b"\x80\x04\x8c\x06system\x94\x8c\x02os\x94h\x01h\x00\x93\x8c"
        + short
        + b"\x85R.",
        "STACK_GLOBAL of a dotted name": b"\x80\x04\x8c\x07pathlib\x8c\x09os.system\x93\x8c" + short + b"\x85R.",
        "BUILD of a method": b"\x80\x02cargparse\nNamespace\n)\x81}V__setstate__\ncos\nsystem\nsb" + text + b"b.",
        "thrown away": b"cos\nsystem\n(" + text + b"tR0N.",
    }


class NestedCall:
    """Pickles calls whose functions are themselves results of calls."""

    def __init__(self, outer: Runs) -> None:
        self.outer = outer

    def __reduce__(self) -> Any:
        function, arguments = self.outer.call
        return (apply, (function, *arguments))


def apply(function: Any, *arguments: Any) -> Any:
    return function(*arguments)


NAMES = sorted(hostile(Path("marker")))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_runs(name: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    data = hostile(marker)[name]
    read(data)
    file = tmp_path / "weights.pdparams"
    file.write_bytes(data if data.startswith(b"\x80") else b"\x80\x04" + data)
    with suppress(ValueError):
        assert read_tensor_file(file).tensors == {}
    assert not marker.exists()

    pickle.loads(data)
    assert marker.exists(), "this pickle is harmless, so that the test proves nothing"


def test_nothing_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "canary_module.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    data = b"ccanary_module\nThing\n)R."
    assert called(read(data)) == "canary_module.Thing"
    assert "canary_module" not in sys.modules
    with pytest.raises(SystemExit):
        pickle.loads(data)


def test_build_changes_no_class() -> None:
    before = dict(vars(OrderedDict))
    data = b"\x80\x02ccollections\nOrderedDict\n}V__len__\nI1\nsb."
    assert read(data) == Name("collections.OrderedDict")
    assert dict(vars(OrderedDict)) == before


def test_persistent_ids_are_only_recorded() -> None:
    found = read_pickle(BytesIO(b"cos\nsystem\n(Vtrue\ntRQPsecond\n\x86."))
    assert [type(one.id) for one in found.persistent] == [Call, str]
    assert found.value == tuple(found.persistent)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"\x80\x04",
        b"\x80\x04}\x94(",
        b"0.",
        b"h\x05.",
        b"\x82\x01.",
        b"\x97.",
        b"N}a.",
        b"Nu.",
        b"NNs.",
        b"\x8e" + (2**60).to_bytes(8, "little") + b"abc.",
        b"\x8e" + b"\xff" * 8 + b"abc.",
        b"B" + (2**32 - 1).to_bytes(4, "little") + b"abc.",
        b"\x8b" + (2**31 - 1).to_bytes(4, "little") + b"1.",
        b"\x80\x04\x95" + b"\xff" * 8 + b"N",
        b"Np" + b"9" * 40 + b"\n.",
        b"I" + b"9" * 100_000 + b"\n.",
        b"]" * (MAX_INSTRUCTIONS + 1),
    ],
    ids=lambda data: repr(data[:8]),
)
def test_malformed_and_oversized_pickles_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="a malformed pickle"):
        read(data)


def test_keys_that_take_for_ever_to_hash_are_left_out() -> None:
    doubling = b"N" + b"2\x86" * 100
    assert read(b"}" + doubling + b"I1\ns.") == {}
    colliding = {(2**61 - 1) * n: n for n in range(3)} | {1.5: 0, 7: 1}
    assert read(pickle.dumps(colliding)) == {0: 0, 7: 1}


def test_deep_nesting() -> None:
    value = read(b"]" * 100_000 + b"a" * 99_999 + b".")
    for _ in range(99_999):
        (value,) = value
    assert value == []


def test_numpy_scalars_and_random_states_stay_calls() -> None:
    found = read(pickle.dumps({"history": [np.float64(1.5)], "generator": np.random.default_rng(0)}))
    assert called(found["history"][0]).endswith("multiarray.scalar")
    assert isinstance(found["generator"], Call)
