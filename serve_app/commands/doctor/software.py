"""Packages, and what of Ray runs or lies on this machine."""

import os
import platform
import re
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from serve_app.commands.doctor.finding import Finding, ok

PROC = Path("/proc")


def packages(distribution: str = "maskgraph", extra: str = "service") -> Iterator[Finding]:
    """Whether every requirement is met."""
    wrong = []
    for text in requires(distribution) or ():
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            wrong.append(f"{requirement.name} is not installed")
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            wrong.append(f"{requirement.name} {installed} is not {requirement.specifier}")
    if wrong:
        yield Finding("packages", "wrong", "; ".join(wrong), f"pip install --upgrade '{distribution}[{extra}]'")
    else:
        yield ok("packages", f"{distribution} {version(distribution)} on Python {platform.python_version()}")


def engines(torch: Any) -> Iterator[Finding]:
    """torch: the module. What networks run in."""
    cuda = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for CPUs"
    yield ok("torch", f"{torch.__version__}, {cuda}")
    try:
        yield ok("OpenVINO", version("openvino"))
    except PackageNotFoundError:
        mend = "where it has wheels, pip install openvino: networks on the CPU take about half the time in it"
        yield Finding("OpenVINO", "warning", "not installed; networks on the CPU run in torch", mend)
    if torch.cuda.is_available():
        try:
            yield ok("ONNX on CUDA", f"ONNX Runtime {version('onnxruntime-gpu')}")
        except PackageNotFoundError:
            yield ok("ONNX on CUDA", "not installed; cards of architecture onnx need maskgraph[onnx-gpu]")


def ray(temporary: Path | None = None, proc: Path = PROC) -> Iterator[Finding]:
    """What of Ray runs here already, and what earlier runs left.

    temporary: the folder of its sessions, by default where Ray puts them.
    """
    folder = temporary or Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()) / "ray"
    clusters, orphans = _processes(proc)
    if clusters:
        message = f"{version('ray')}; runs here already, as process {', '.join(map(str, clusters))}"
        mend = "maskgraph serve starts another beside it; ray stop ends all that is yours"
        yield Finding("Ray", "warning", message, mend)
    elif orphans:
        message = f"{version('ray')}; of an earlier run are left: {', '.join(map(str, orphans))}"
        yield Finding("Ray", "warning", message, "ray stop --force ends all that is yours")
    else:
        yield ok("Ray", f"{version('ray')}, none runs here")
    sessions = [path for path in folder.glob("session_*") if path.is_dir() and not path.is_symlink()]
    size = sum(folder_size(session) for session in sessions)
    told = f"{len(sessions)} sessions' logs in {folder}, {size / 1e6:.0f} MB"
    if size > 1e9 and not clusters:
        yield Finding("Ray's sessions", "warning", told, f"no Ray runs here, so they can go: rm -r {folder}/session_*")
    else:
        yield ok("Ray's sessions", told)


def _processes(proc: Path) -> tuple[list[int], list[int]]:
    """Processes that are a node of Ray; and workers, if there is no such node."""
    nodes, workers = [], []
    for file in proc.glob("[0-9]*/cmdline"):
        try:
            command = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # it has just ended
        if Path(command.partition("\0")[0]).name == "raylet":
            nodes.append(int(file.parent.name))
        elif re.match(r"ray::\w", command):
            workers.append(int(file.parent.name))
    return sorted(nodes), [] if nodes else sorted(workers)


def folder_size(folder: Path) -> int:
    """Bytes of all files below, links not followed."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError:
                continue  # gone meanwhile
    return total
