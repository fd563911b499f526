import os
import pickle
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from deployments.shared_pixels import GRAIN, MOST_IDLE, NotShared, PixelSharing, SharedPixels, can_share

pytestmark = pytest.mark.skipif(not can_share(), reason="pixels are shared on Linux only")

READ = """
import pickle, sys
sys.stdout.buffer.write(pickle.loads(sys.stdin.buffer.read()).open().tobytes())
"""


def image(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def sent(sharing: PixelSharing, pixels: NDArray[np.uint8]) -> SharedPixels:
    with sharing.shared(pixels) as shared:
        return shared


def abandoned(sharing: PixelSharing, pixels: NDArray[np.uint8]) -> tuple[SharedPixels, NDArray[np.uint8]]:
    """As where a call ended without an answer: what was shared, and as it is read."""
    with suppress(TimeoutError), sharing.shared(pixels) as shared:
        read = shared.open()
        raise TimeoutError
    return shared, read


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=1, max_size=6))
def test_images_of_any_sizes_arrive_as_they_were(sizes: list[tuple[int, int]]) -> None:
    sharing = PixelSharing()
    for seed, size in enumerate(sizes):
        with sharing.shared(image(*size, seed)) as shared:
            assert (shared.open() == image(*size, seed)).all()


def test_another_process_reads_them() -> None:
    pixels = image(50, 70)
    with PixelSharing().shared(pixels) as shared:
        read = subprocess.run([sys.executable, "-c", READ], input=pickle.dumps(shared), stdout=subprocess.PIPE)
    assert read.stdout == pixels.tobytes()


def test_a_reader_cannot_change_them() -> None:
    with PixelSharing().shared(image(2, 2)) as shared:
        assert not shared.open().flags.writeable


def test_one_file_carries_one_image_after_another() -> None:
    sharing = PixelSharing()
    assert len({sent(sharing, image(100, 100 + k)).name for k in range(5)}) == 1


def test_images_at_the_same_time_have_files_of_their_own() -> None:
    sharing = PixelSharing()
    with sharing.shared(image(20, 20, 1)) as one, sharing.shared(image(20, 20, 2)) as other:
        assert (one.open() == image(20, 20, 1)).all()
        assert (other.open() == image(20, 20, 2)).all()


def test_pixels_that_someone_may_still_read_are_not_written_over() -> None:
    sharing = PixelSharing()
    given_up, read = abandoned(sharing, image(20, 20, 1))
    later = sent(sharing, image(20, 20, 2))
    assert later.name != given_up.name
    assert (read == image(20, 20, 1)).all()


def test_what_is_kept_for_coming_images_is_bounded_and_of_the_latest_size() -> None:
    sharing = PixelSharing()
    sent(sharing, image(10, 10))
    before = open_files()
    large = np.zeros((MOST_IDLE // 3 // GRAIN, GRAIN, 3), np.uint8)
    kept = sent(sharing, large)
    with sharing.shared(large) as one:
        sent(sharing, large)
    assert one.name == kept.name
    assert open_files() == before


def test_a_large_file_is_not_taken_for_a_small_image() -> None:
    sharing = PixelSharing()
    assert sent(sharing, image(2000, 2000)).name != sent(sharing, image(10, 10)).name


@pytest.mark.parametrize("wrong", [{"name": "maskgraph-other"}, {"file": 0}, {"file": 10**6}, {"process": 2**22 + 1}])
def test_a_file_that_is_not_the_one_that_was_meant_is_not_read(wrong: dict[str, str | int]) -> None:
    with PixelSharing().shared(image(2, 2)) as shared, pytest.raises(NotShared):
        replace(shared, **wrong).open()  # type: ignore[arg-type]


def test_a_descriptor_that_means_something_else_by_now_is_not_read() -> None:
    sharing = PixelSharing()
    shared, _ = abandoned(sharing, image(2, 2))
    other = sent(PixelSharing(), image(2, 2))
    with pytest.raises(NotShared):
        replace(shared, file=other.file).open()
