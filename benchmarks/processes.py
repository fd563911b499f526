"""What a tree of processes has used, from Linux's /proc: CPU seconds, page faults, memory."""

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Stat:
    """The fields of /proc/PID/stat that count here."""

    pid: int
    parent: int
    page_faults: int
    """Minor and major ones since the start, of all its threads."""
    cpu_s: float
    """In user and kernel mode since the start, of all its threads."""


@dataclass(frozen=True, slots=True)
class Used:
    """What a tree used between two moments."""

    cpu_s: float
    page_faults: int


def parse_stat(line: str) -> Stat | None:
    """Read /proc/PID/stat, in which the second field is a name that may hold blanks and brackets.

    None for a process that has ended and whose parent has not asked for it yet.
    """
    head, _, tail = line.rpartition(")")
    fields = tail.split()
    if fields[0] in "ZX":
        return None
    minor, major, user, system = (int(fields[index]) for index in (7, 9, 11, 12))
    return Stat(int(head.split()[0]), int(fields[1]), minor + major, (user + system) / TICKS_A_SECOND)


def processes() -> dict[int, Stat]:
    """Every process of the machine that has not ended."""
    stats = {}
    for file in PROC.glob("[0-9]*/stat"):
        try:
            stat = parse_stat(file.read_text())
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        if stat is not None:
            stats[stat.pid] = stat
    return stats


def tree(root: int, stats: Mapping[int, Stat]) -> dict[int, Stat]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for stat in stats.values():
        children.setdefault(stat.parent, []).append(stat.pid)
    found, waiting = {}, [root]
    while waiting:
        pid = waiting.pop()
        if pid in stats:
            found[pid] = stats[pid]
        waiting += children.get(pid, [])
    return found


def trees(roots: Iterable[int]) -> dict[int, Stat]:
    """Several processes and all that descend from them, now."""
    stats = processes()
    return {pid: stat for root in roots for pid, stat in tree(root, stats).items()}


def used(before: Mapping[int, Stat], after: Mapping[int, Stat]) -> Used:
    """The difference, over the processes that live in the end; those that came meanwhile count in full."""
    cpu_s, faults = 0.0, 0
    for pid, stat in after.items():
        first = before.get(pid)
        cpu_s += stat.cpu_s - (first.cpu_s if first else 0.0)
        faults += stat.page_faults - (first.page_faults if first else 0)
    return Used(cpu_s, faults)


def busy_s() -> float:
    """CPU seconds that the whole machine has worked since it started, over all cores."""
    user, nice, system, _idle, _wait, interrupts, soft = (int(word) for word in first_line(PROC / "stat").split()[1:8])
    return (user + nice + system + interrupts + soft) / TICKS_A_SECOND


def first_line(file: Path) -> str:
    """Of a text file."""
    with file.open() as lines:
        return lines.readline()


def pss_mb(pid: int) -> float:
    """Proportional set size in MiB: memory shared by n processes counts 1/n in each. 0 for one that has ended."""
    try:
        text = (PROC / str(pid) / "smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0.0
    size = re.search(r"^Pss:\s+(\d+) kB", text, re.M)
    return int(size[1]) / 1024 if size else 0.0


@dataclass(frozen=True, slots=True)
class Held:
    """What one process holds."""

    rss_mb: float = 0.0
    descriptors: int = 0
    threads: int = 0


def held(pid: int) -> Held:
    """Nothing for a process that has ended."""
    folder = PROC / str(pid)
    try:
        pages = int(first_line(folder / "statm").split()[1])
        descriptors, threads = (sum(1 for _ in (folder / name).iterdir()) for name in ("fd", "task"))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return Held()
    return Held(pages * PAGE_BYTES / 2**20, descriptors, threads)


def title(command: str) -> str:
    """What a command line as /proc gives it runs, its arguments ended by NUL: actor, module, script or program."""
    words = [word for word in command.rstrip("\0").split("\0") if word]
    if not words:
        return "?"
    if words[0].startswith("ray::"):
        # What follows is the method that runs just now.
        return words[0].partition(" ")[0].partition(".")[0]
    program = Path(words[0]).name
    if not program.startswith("python"):
        return program
    if "-c" in words:
        return f"{program} -c"
    scripts = [word for word in words[1:] if not word.startswith("-")]
    return Path(scripts[0]).name if scripts else program


@dataclass(frozen=True, slots=True)
class Memory:
    """One process's."""

    title: str
    pss_mb: float


def memory(pids: Iterable[int]) -> dict[int, Memory]:
    """Of each process that still lives."""
    return {pid: Memory(name, pss_mb(pid)) for pid, name in titles(pids).items()}


def titles(pids: Iterable[int]) -> dict[int, str]:
    """What each process that still lives runs."""
    names = {}
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            names[pid] = title((PROC / str(pid) / "cmdline").read_text(errors="replace"))
    return names
