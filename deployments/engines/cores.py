"""The CPU cores that this process may use, which in a container are fewer than the host's."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

CONTROL_GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """Cores by affinity and by the quotas of control groups, rounded down; at least 1."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([affinity, *quotas(OWN_GROUPS, CONTROL_GROUPS)])))


def lanes_for(threads: int) -> int:
    """Runs at a time that share these threads: of one thread each where they are few, else of two."""
    return threads if threads <= 2 else threads // 2


def quotas(own_groups: Path, root: Path) -> Iterator[float]:
    """Cores that this process's control groups and those above them allow, of versions 1 and 2; none where unbounded.

    own_groups: the kernel's list of this process's groups; root: where their folders are mounted.
    """
    for line in _words(own_groups, "\n"):
        _, controllers, path = line.split(":", 2)
        group = PurePosixPath(path.lstrip("/"))
        # A container may see the host's path, though its own group is mounted at the root.
        for folder in (group, *group.parents):
            if not controllers:
                limit = _words(root / folder / "cpu.max")
            elif "cpu" in controllers.split(","):
                names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
                limit = [word for name in names for word in _words(root / "cpu" / folder / name)]
            else:
                continue
            if len(limit) == 2 and all(word.isdecimal() for word in limit):  # else "max", or -1
                yield int(limit[0]) / int(limit[1])


def _words(path: Path, separator: str | None = None) -> list[str]:
    """What a file of the kernel says; nothing where there is none."""
    try:
        return path.read_text(encoding="utf-8").strip().split(separator)
    except OSError:
        return []
