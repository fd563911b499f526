"""The arithmetic of the capacity page."""

import pytest

from benchmarks.capacity import BUSY, GpuTimes, Times, bound, fleet, page

TIMES = Times(
    cores=4,
    photo_bytes=250_000,
    answer_bytes=5_000,
    cpu_ms={"Ingress": 20, "MaskDetection": 100, "InstanceSegmentation": 50, "proxy": 5, "the rest": 5},
    idle_cores=0.4,
    measured={1: 10.0, 2: 18.0},
)
GPU = GpuTimes(
    name="a GPU",
    source="nowhere",
    gpu_ms={"MaskDetection": 3, "InstanceSegmentation": 2},
    cpu_ms={"MaskDetection": 1, "InstanceSegmentation": 6},
)


def test_the_busiest_part_bounds_the_answers() -> None:
    assert bound(TIMES, replicas=1, threads=1) == (pytest.approx(10), "MaskDetection")
    assert bound(TIMES, replicas=1, threads=2) == (pytest.approx(20), "the machine's cores")
    assert bound(TIMES, replicas=4, threads=1) == (pytest.approx(20), "the machine's cores")


def test_a_fleet_is_bought_for_the_busy_share() -> None:
    needs = fleet(TIMES, GPU, 1000)
    assert needs["GPUs"] == "8"  # 1000 a second at 5 ms are 5 busy GPUs
    assert needs["cores of the ingress"] == str(-(-20 * 10 // round(10 * BUSY)))
    assert needs["photos in, Gbit/s"] == "2.00"
    assert needs["answers out, Gbit/s"] == "0.04"


def test_the_page_says_how_far_off_the_rule_is() -> None:
    text = page(TIMES, GPU, threads=1)
    assert "| 1 | 10.0 | MaskDetection | 10.0 | +0 % |" in text
    assert "| 2 | 20.0 | " in text
    assert "| 18.0 | -10 % |" in text
