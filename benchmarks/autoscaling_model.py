"""A branch of replicas under load, as a queue that is drained at the rate of those that are ready."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from deployments.autoscaling import BUSY, COST_S, by_work


@dataclass(frozen=True)
class Branch:
    """cost_s: seconds of a replica for one image; start_s: seconds until a new replica answers; most: replicas."""

    cost_s: float
    start_s: float
    most: int


@dataclass
class Run:
    """What a simulation saw; the arrays have an entry a step."""

    replicas: NDArray[np.float64]
    """Paid for, ready or not."""
    needed: NDArray[np.float64]
    """Replicas that the load alone would keep wholly busy."""
    gpu_hours: float
    p99_s: float
    """Of the seconds from arrival to answer, each image counting once."""
    worst_s: float


@dataclass
class Policy:
    """A decision, and the delays that Serve applies to it.

    wanted: of (replicas ready, images in progress, busy share, cost) averaged over ``look_back_s``.
    """

    wanted: Callable[[int, float, float, float], float]
    look_back_s: float
    up_s: float
    down_s: float
    _above: float | None = field(default=None, repr=False)
    _below: float | None = field(default=None, repr=False)

    def target(self, now: float, current: int, seen: tuple[int, float, float, float]) -> int:
        """The target once a wish for more, or for fewer, has lasted for its delay."""
        wish = max(1, int(np.ceil(self.wanted(*seen) - 1e-9)))
        self._above = None if wish <= current else now if self._above is None else self._above
        self._below = None if wish >= current else now if self._below is None else self._below
        if self._above is not None and now - self._above >= self.up_s:
            self._above = None
            return wish
        if self._below is not None and now - self._below >= self.down_s:
            self._below = None
            return wish
        return current


def ours() -> Policy:
    """As the configs of this project set it."""

    def wanted(ready: int, in_progress: float, busy: float, cost_s: float) -> float:
        names = range(ready)
        metrics = {BUSY: dict.fromkeys(names, busy), COST_S: dict.fromkeys(names, cost_s)}
        context = SimpleNamespace(
            current_num_replicas=ready, total_num_requests=in_progress, aggregated_metrics=metrics
        )
        return by_work(context)[0]

    return Policy(wanted, look_back_s=2, up_s=1, down_s=120)


def theirs() -> Policy:
    """Serve's default: requests in progress by two, a look back of 30 s, 30 s to grow and ten minutes to shrink."""
    return Policy(lambda ready, in_progress, busy, cost_s: in_progress / 2, look_back_s=30, up_s=30, down_s=600)


def fixed(replicas: int) -> Policy:
    """Always the same."""
    return Policy(lambda *_: float(replicas), look_back_s=1, up_s=0, down_s=0)


def simulate(load: NDArray[np.float64], step_s: float, branch: Branch, policy: Policy) -> Run:
    """load: images a second, an entry a step. Starts with what the first step's load needs."""
    ready = max(1, int(np.ceil(load[0] * branch.cost_s / 0.75)))
    starting: deque[float] = deque()
    seen: deque[tuple[int, float, float]] = deque(maxlen=max(1, round(policy.look_back_s / step_s)))
    backlog, paid, waits = 0.0, np.empty(len(load)), np.empty(len(load))
    for step, rate in enumerate(load):
        now = step * step_s
        while starting and starting[0] <= now:
            starting.popleft()
            ready += 1
        capacity = ready / branch.cost_s
        waits[step] = branch.cost_s + backlog / capacity
        served = min(backlog + rate * step_s, capacity * step_s)
        backlog += rate * step_s - served
        busy = served / (capacity * step_s)
        seen.append((ready, backlog + 2 * busy * ready, busy))
        mean = np.mean(seen, axis=0)
        current = ready + len(starting)
        target = min(branch.most, policy.target(now, current, (ready, mean[1], mean[2], branch.cost_s)))
        starting.extend([now + branch.start_s] * (target - current))
        for _ in range(min(current - target, len(starting))):
            starting.pop()
        ready = min(ready, max(1, target))
        paid[step] = ready + len(starting)
    order = np.argsort(waits)
    cumulated = np.cumsum(load[order])
    p99 = waits[order][np.searchsorted(cumulated, 0.99 * cumulated[-1])]
    return Run(paid, load * branch.cost_s, float(paid.sum() * step_s / 3600), float(p99), float(waits.max()))
