"""What trees of processes used, over lines of /proc and over a real child."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.processes import (
    TICKS_A_SECOND,
    Held,
    Stat,
    Used,
    held,
    memory,
    parse_stat,
    processes,
    title,
    tree,
    used,
)

LINE = "4242 (ray::A (b) c) S 17 4242 4242 0 -1 4194560 900 0 7 0 250 50 0 0 20 0 9 0 1 2 3"


def test_a_stat_line_is_read_though_the_name_has_blanks_and_brackets() -> None:
    assert parse_stat(LINE) == Stat(pid=4242, parent=17, page_faults=907, cpu_s=300 / TICKS_A_SECOND)


def test_a_process_that_has_ended_is_none() -> None:
    assert parse_stat(LINE.replace(") S ", ") Z ")) is None


def test_a_tree_is_all_descendants_and_no_stranger() -> None:
    parents = {1: 0, 2: 1, 3: 2, 4: 3, 5: 1}
    stats = {pid: Stat(pid, parent, 0, 0.0) for pid, parent in parents.items()}
    assert set(tree(2, stats)) == {2, 3, 4}
    assert tree(9, stats) == {}


def test_used_counts_a_process_that_came_meanwhile_in_full() -> None:
    before = {1: Stat(1, 0, 10, 1.0), 2: Stat(2, 1, 5, 5.0)}
    after = {1: Stat(1, 0, 15, 1.5), 3: Stat(3, 1, 7, 0.25)}
    assert used(before, after) == Used(cpu_s=0.75, page_faults=12)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("ray::ServeReplica:maskgraph:Ingress\0", "ray::ServeReplica:maskgraph:Ingress"),
        ("ray::ProxyActor.run_control_loop() more\0", "ray::ProxyActor"),
        ("/usr/bin/python3.11\0-m\0uvicorn\0app:app\0", "uvicorn"),
        ("/usr/bin/python3\0-u\0/x/dashboard/agent.py\0--port=1\0", "agent.py"),
        ("/usr/bin/python3\0-c\0from multiprocessing.spawn import main\0", "python3 -c"),
        ("/x/ray/core/raylet/raylet\0--node\0", "raylet"),
        ("", "?"),
    ],
)
def test_titles_name_what_a_process_runs(command: str, expected: str) -> None:
    assert title(command) == expected


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="needs Linux's /proc")
def test_a_childs_memory_and_faults_are_seen() -> None:
    code = "block = b'x' * 50_000_000; print('held', flush=True); input()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as child:
        assert child.stdout
        assert child.stdout.readline() == b"held\n"
        mine = tree(os.getpid(), processes())
        assert child.pid in mine
        assert memory([child.pid])[child.pid].pss_mb > 45
        assert mine[child.pid].page_faults > 0
        child.communicate(b"\n")
    assert memory([child.pid]) == {}


def test_what_a_process_holds(tmp_path: Path) -> None:
    before = held(os.getpid())
    with (tmp_path / "open").open("w"), ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        meanwhile = held(os.getpid())
    assert meanwhile.descriptors > before.descriptors
    assert meanwhile.threads > before.threads
    assert before.rss_mb > 10
    assert held(2**22 + 1) == Held()
