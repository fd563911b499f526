"""Cores are counted from what this process may use, not from what the machine has."""

import os
from pathlib import Path

import pytest

from deployments.engines import cores
from deployments.engines.cores import lanes_for, quotas, usable_cores


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 16 cores whose kernel tells its control groups below this folder."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    monkeypatch.setattr(cores, "CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(cores, "OWN_GROUPS", tmp_path / "self")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_affinity_where_nothing_else_bounds(machine: Path) -> None:
    assert usable_cores() == 16


@pytest.mark.parametrize(("quota", "expected"), [("400000 100000", 4), ("150000 100000", 1), ("50000 100000", 1)])
def test_quota_of_version_2(machine: Path, quota: str, expected: int) -> None:
    write(machine / "self", "0::/\n")
    write(machine / "cpu.max", quota)
    assert usable_cores() == expected


def test_the_tightest_group_above_counts(machine: Path) -> None:
    write(machine / "self", "0::/pods/one/container\n")
    write(machine / "cpu.max", "max 100000\n")
    write(machine / "pods/cpu.max", "1200000 100000\n")
    write(machine / "pods/one/cpu.max", "300000 100000\n")
    write(machine / "pods/one/container/cpu.max", "max 100000\n")
    assert usable_cores() == 3


def test_quota_of_version_1(machine: Path) -> None:
    write(machine / "self", "5:cpuset:/\n4:cpu,cpuacct:/docker/abc\n")
    write(machine / "cpu/docker/abc/cpu.cfs_quota_us", "-1")
    write(machine / "cpu/docker/abc/cpu.cfs_period_us", "100000")
    assert usable_cores() == 16
    # in a container the group's own folder is the root
    write(machine / "cpu/cpu.cfs_quota_us", "600000")
    write(machine / "cpu/cpu.cfs_period_us", "100000")
    assert list(quotas(cores.OWN_GROUPS, cores.CONTROL_GROUPS)) == [6.0]
    assert usable_cores() == 6


@pytest.mark.parametrize(("threads", "lanes"), [(1, 1), (2, 2), (3, 1), (8, 4), (16, 8)])
def test_lanes_share_the_threads(threads: int, lanes: int) -> None:
    assert lanes_for(threads) == lanes
