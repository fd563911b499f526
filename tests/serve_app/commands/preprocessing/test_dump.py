import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments.imaging.decode import ImageError
from serve_app.commands.preprocessing.dump import UnusableDump, read_dump
from tests.photos import china, png
from tests.serve_app.commands.preprocessing.conftest import MAX_PIXELS


def header(text: str, version: bytes = b"\x01\x00") -> bytes:
    """A .npy file's beginning with any header."""
    padded = text.encode() + b"\n"
    return b"\x93NUMPY" + version + len(padded).to_bytes(2 if version[0] == 1 else 4, "little") + padded


def save(folder: Path, array: np.ndarray) -> Path:
    np.save(folder / "dump.npy", array)
    return folder / "dump.npy"


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64", ">f4"])
@pytest.mark.parametrize("layout", ["HWC", "CHW", "NHWC", "NCHW", "fortran"])
def test_every_layout_gives_the_same_picture(tmp_path: Path, dtype: str, layout: str) -> None:
    picture = china().astype(dtype)
    laid_out = {
        "HWC": picture,
        "CHW": picture.transpose(2, 0, 1),
        "NHWC": picture[None],
        "NCHW": picture.transpose(2, 0, 1)[None],
        "fortran": np.asfortranarray(picture),
    }[layout]
    dump = read_dump(save(tmp_path, laid_out), MAX_PIXELS)
    np.testing.assert_array_equal(dump.numbers, china())
    assert dump.is_picture == (dtype == "uint8")
    assert str(list(laid_out.shape)) in dump.kind


def test_a_picture_is_read_as_its_pixels(tmp_path: Path) -> None:
    (tmp_path / "resized.png").write_bytes(png(china()))
    dump = read_dump(tmp_path / "resized.png", MAX_PIXELS)
    np.testing.assert_array_equal(dump.numbers, china())
    assert dump.is_picture


NAN = np.full((3, 20, 20), np.nan, np.float32)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (NAN, "NaN"),
        (np.full((3, 20, 20), np.inf, np.float32), "infinite"),
        (np.zeros((20, 20), np.float32), r"shape \[20, 20\]"),
        (np.zeros((4, 20, 20), np.float32), r"shape \[4, 20, 20\]"),
        (np.zeros((8, 3, 20, 20), np.float32), r"a batch of 8; .*tensor\[0\]"),
        (np.zeros((0, 3, 20, 20), np.float32), "a batch of 0"),
        (np.zeros((3, 20, 2), np.float32), "each side"),
        (np.zeros((3, 0, 20), np.float32), "each side"),
        (np.zeros((3, 20, 20), np.int64), "int64"),
        (np.zeros((3, 20, 20), np.complex64), "complex64"),
        (np.zeros((3, 20, 20), "U5"), "<U5"),
        (np.zeros((3, 20, 20), [("r", "f4")]), "float32, float16, float64 or uint8"),
        (np.zeros((3, 2000, 2000), np.uint8), "limit is 1000000 pixels"),
    ],
)
def test_tensors_that_are_no_picture_are_named(tmp_path: Path, array: np.ndarray, message: str) -> None:
    with pytest.raises(UnusableDump, match=message):
        read_dump(save(tmp_path, array), max_pixels=1_000_000)


class Explosive:
    def __reduce__(self) -> tuple:
        return Path.touch, (Path("exploded"),)


def test_pickles_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "dump.npy"
    np.save(path, np.array([[Explosive()] * 3] * 3, dtype=object), allow_pickle=True)
    with pytest.raises(UnusableDump, match="Python objects"):
        read_dump(path, MAX_PIXELS)
    path.write_bytes(pickle.dumps(Explosive()))
    with pytest.raises(UnusableDump, match=r"not a \.npy file"):
        read_dump(path, MAX_PIXELS)
    path.rename(tmp_path / "dump.pt")
    with pytest.raises(ImageError):
        read_dump(tmp_path / "dump.pt", MAX_PIXELS)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "data",
    [
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff\xff{}",
        b"\x93NUMPY\x09\x00\x02\x00{}",
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 1000000000, 1000000000), }"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 10000000000000, 1000000000000), }"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (3, -20, -20), }") + bytes(4800),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 20, 20), }") + bytes(4799),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': 'x', }"),
        header("{'descr': '|O', 'fortran_order': False, 'shape': (3, 20, 20), }") + bytes(9600),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': ([3], 20, 20), }") + bytes(4800),
        header("__import__('os').getcwd()"),
        header("(" * 5000, b"\x02\x00"),
        header("{'descr': '" + "f" * 100_000 + "'}", b"\x02\x00"),
    ],
)
def test_malformed_headers_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "dump.npy").write_bytes(data)
    with pytest.raises(UnusableDump):
        read_dump(tmp_path / "dump.npy", MAX_PIXELS)


GOOD = header("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 20, 20), }") + bytes(4800)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(6, 90), st.integers(0, 255)), max_size=4), cut=st.integers(0, 4880))
def test_damaged_files_are_read_or_refused(tmp_path: Path, changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(GOOD)
    for position, value in changes:
        data[position] = value
    (tmp_path / "dump.npy").write_bytes(data[: len(GOOD) - cut])
    try:
        dump = read_dump(tmp_path / "dump.npy", MAX_PIXELS)
    except UnusableDump:
        return
    assert dump.numbers.shape[2] == 3
    assert np.isfinite(dump.numbers).all()
