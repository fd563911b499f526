"""Cores, instructions, memory, GPU."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from deployments.engines.cores import CONTROL_GROUPS, OWN_GROUPS, quotas, usable_cores
from deployments.engines.precision import BFLOAT16_INSTRUCTIONS
from serve_app.commands.doctor.finding import Finding, ok

GIB = 1024**3
MEMINFO = Path("/proc/meminfo")
SHARED_MEMORY = Path("/dev/shm")
LEAST_MEMORY = 3 * GIB
"""What all processes take after a minute of load with the embedded models."""
LEAST_SHARED_MEMORY = GIB
"""For photos on their way between processes; Ray takes files on the disk where there is less than it plans for."""


def cores() -> Iterator[Finding]:
    """How many this process may use, and why no more."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = min(quotas(OWN_GROUPS, CONTROL_GROUPS), default=None)
    usable = usable_cores()
    message = (
        f"{usable} of {os.cpu_count()} usable (affinity: {affinity}, "
        f"control group: {'no limit' if quota is None else f'{quota:g}'})"
    )
    if usable >= 2:
        yield ok("CPU cores", message)
    else:
        yield Finding("CPU cores", "warning", message, "both models share one core: allow two or more")


def instructions(capabilities: Mapping[str, Any]) -> Iterator[Finding]:
    """capabilities: as ``torch.cpu.get_capabilities`` gives them."""
    name = capabilities.get("cpu_name") or capabilities.get("architecture", "unknown")
    if capabilities.get("architecture") == "x86_64" and not capabilities.get("avx2"):
        yield Finding("CPU instructions", "warning", f"{name}: no AVX2", "the models are several times slower here")
    found = [instruction for instruction in BFLOAT16_INSTRUCTIONS if capabilities.get(instruction)]
    if found:
        yield ok("CPU instructions", f"{name}: {', '.join(found)}, so precision: bfloat16 is there")
    else:
        yield ok("CPU instructions", f"{name}: none for bfloat16, so float32 only")


def memory(meminfo: Path = MEMINFO) -> Iterator[Finding]:
    """What is free, of the machine and of this process's control group."""
    free = _free_memory(meminfo)
    limit = _group_memory(OWN_GROUPS, CONTROL_GROUPS)
    if free is None:
        return
    bound = free if limit is None else min(free, limit)
    message = f"{free / GIB:.1f} GiB free" + ("" if limit is None else f", control group leaves {limit / GIB:.1f} GiB")
    if bound >= LEAST_MEMORY:
        yield ok("memory", message)
    else:
        yield Finding("memory", "warning", message, f"the service takes up to {LEAST_MEMORY / GIB:.0f} GiB under load")


def _free_memory(meminfo: Path) -> int | None:
    """Bytes; None where the kernel does not say."""
    try:
        fields = dict(line.split(":", 1) for line in meminfo.read_text(encoding="utf-8").splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def _group_memory(own_groups: Path, root: Path) -> int | None:
    """Bytes that control groups of version 2 leave to this process; None where they set no limit."""
    try:
        path = next(line for line in own_groups.read_text(encoding="utf-8").splitlines() if line.startswith("0::"))[3:]
    except (OSError, StopIteration):
        return None
    left = []
    group = Path(path.lstrip("/"))
    for folder in (root / group, *(root / parent for parent in group.parents)):
        try:
            limit, used = ((folder / name).read_text(encoding="utf-8") for name in ("memory.max", "memory.current"))
        except OSError:
            continue
        if limit.strip().isdecimal():
            left.append(int(limit) - int(used))
    return min(left, default=None)


def shared_memory(folder: Path = SHARED_MEMORY) -> Iterator[Finding]:
    """Where Ray keeps what its processes share."""
    if not folder.is_dir():
        return
    size = shutil.disk_usage(folder).free
    if size >= LEAST_SHARED_MEMORY:
        yield ok("shared memory", f"{size / GIB:.1f} GiB free in {folder}")
    else:
        yield Finding(
            "shared memory",
            "warning",
            f"{size / GIB:.2f} GiB free in {folder}",
            "Ray takes slower files on the disk: give a container --shm-size=2g",
        )


def query_nvidia() -> list[str]:
    """Name, driver and memory of each GPU that NVIDIA's driver knows; none where there is no driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.splitlines()


def gpus(torch: Any, query: Callable[[], list[str]] = query_nvidia) -> Iterator[Finding]:
    """torch: the module. Whether it can use what the driver knows."""
    known = query()
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            major, minor = properties.major, properties.minor
            size = f"{properties.total_memory / GIB:.0f} GiB"
            described = f"{properties.name}, {size}, compute capability {major}.{minor}"
            yield ok("GPU", f"{described}: precision: {'bfloat16' if major >= 8 else 'float16'}")
        if known:
            yield ok("GPU driver", known[0].split(", ")[1])
    elif not known:
        yield ok("GPU", "none that NVIDIA's driver knows; models run on the CPU")
    elif torch.version.cuda is None:
        mend = "install PyTorch's build for CUDA"
        yield Finding("GPU", "warning", f"{known[0]}; torch {torch.__version__} is built for CPUs only", mend)
    else:
        mend = f"bring the driver to one for CUDA {torch.version.cuda}, and see that CUDA_VISIBLE_DEVICES hides nothing"
        yield Finding("GPU", "warning", f"{known[0]}; torch's CUDA {torch.version.cuda} cannot use it", mend)
