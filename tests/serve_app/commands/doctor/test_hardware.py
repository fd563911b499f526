from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from serve_app.commands.doctor import hardware
from serve_app.commands.doctor.finding import Finding
from serve_app.commands.doctor.hardware import GIB

GPU = "NVIDIA T4, 535.1, 15360 MiB"


def torch(*, built: str | None = "13.0", capabilities: tuple[tuple[int, int], ...] = ()) -> Any:
    """As much of the module as is looked at: the CUDA that it is built for, and the GPUs that it can use."""
    devices = [SimpleNamespace(name="T4", total_memory=15 * GIB, major=a, minor=b) for a, b in capabilities]
    cuda = SimpleNamespace(
        is_available=lambda: bool(devices),
        device_count=lambda: len(devices),
        get_device_properties=lambda index: devices[index],
    )
    return SimpleNamespace(__version__="2.14", version=SimpleNamespace(cuda=built), cuda=cuda)


def gpus(module: Any, *known: str) -> list[Finding]:
    return list(hardware.gpus(module, lambda: list(known)))


def test_a_machine_without_a_gpu_is_well() -> None:
    (finding,) = gpus(torch())
    assert finding.state == "ok"
    assert "CPU" in finding.message


def test_gpus_with_the_precision_that_they_are_fast_in() -> None:
    turing, ampere, driver = gpus(torch(capabilities=((7, 5), (8, 0))), GPU, GPU)
    assert "7.5: precision: float16" in turing.message
    assert "8.0: precision: bfloat16" in ampere.message
    assert driver.message == "535.1"


@pytest.mark.parametrize(("built", "mend"), [(None, "build for CUDA"), ("13.0", "driver")])
def test_a_gpu_that_torch_cannot_use(built: str | None, mend: str) -> None:
    (finding,) = gpus(torch(built=built), GPU)
    assert finding.state == "warning"
    assert "NVIDIA T4" in finding.message
    assert mend in finding.mend


def test_instructions() -> None:
    (modern,) = hardware.instructions({"architecture": "x86_64", "avx2": True, "avx512_bf16": True, "cpu_name": "EPYC"})
    assert (modern.state, "EPYC: avx512_bf16" in modern.message) == ("ok", True)
    slow, plain = hardware.instructions({"architecture": "x86_64", "avx2": False})
    assert (slow.state, plain.state) == ("warning", "ok")
    assert "float32 only" in plain.message


@pytest.mark.parametrize(("usable", "state"), [(1, "warning"), (2, "ok")])
def test_cores(monkeypatch: pytest.MonkeyPatch, usable: int, state: str) -> None:
    monkeypatch.setattr(hardware, "usable_cores", lambda: usable)
    monkeypatch.setattr(hardware, "quotas", lambda own, root: iter([1.5, 3.0]))
    (finding,) = hardware.cores()
    assert finding.state == state
    assert "control group: 1.5" in finding.message


@pytest.mark.parametrize(("free_gib", "limit_gib", "state"), [(8, None, "ok"), (8, 2, "warning"), (1, None, "warning")])
def test_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_gib: int, limit_gib: int | None, state: str
) -> None:
    (tmp_path / "meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable:  {free_gib * 1024**2} kB\n")
    (tmp_path / "own").write_text("4:memory:/\n0::/a/b\n")
    for folder, limit in (("", "max"), ("a", "max" if limit_gib is None else limit_gib * GIB + 500), ("a/b", "max")):
        (tmp_path / "groups" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / folder / "memory.max").write_text(f"{limit}\n")
        (tmp_path / "groups" / folder / "memory.current").write_text("500\n")
    monkeypatch.setattr(hardware, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(hardware, "CONTROL_GROUPS", tmp_path / "groups")
    (finding,) = hardware.memory(tmp_path / "meminfo")
    assert finding.state == state
    assert f"{free_gib}.0 GiB free" in finding.message
    assert ("control group leaves 2.0 GiB" in finding.message) == (limit_gib is not None)


def test_a_kernel_that_does_not_say_is_not_judged(tmp_path: Path) -> None:
    assert list(hardware.memory(tmp_path / "none")) == []
    assert list(hardware.shared_memory(tmp_path / "none")) == []


@pytest.mark.parametrize(("free", "state"), [(64 * 1024**2, "warning"), (2 * GIB, "ok")])
def test_shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, state: str) -> None:
    monkeypatch.setattr(hardware.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    (finding,) = hardware.shared_memory(tmp_path)
    assert finding.state == state
