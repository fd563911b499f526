"""A step of load on a slow fake model under Serve itself: ``python -m benchmarks.autoscaling_run --picture FILE``.

One caller, then many, then one again, while the number of replicas is recorded: how long the policy of
``deployments.autoscaling`` takes from the step to each replica, and whether a request is lost on the way up or down.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

IMAGE_S = 0.05
AUTOSCALING = {
    "min_replicas": 1,
    "max_replicas": 3,
    "metrics_interval_s": 1,
    "look_back_period_s": 2,
    "upscale_delay_s": 1,
    "downscale_delay_s": 5,
    "policy": {"policy_function": "deployments.autoscaling:by_work"},
}


@dataclass
class Record:
    """What happened; times in seconds since the first sample."""

    times: list[float] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    """What the policy had decided."""
    replicas: list[int] = field(default_factory=list)
    """Those that ran."""
    callers: list[int] = field(default_factory=list)
    step_s: float = 0.0
    """When the many callers began."""
    answers: int = 0
    lost: int = 0

    def seconds_to(self, counts: Sequence[int], replicas: int) -> float | None:
        """From the step to the first sample with that many replicas decided on, or running."""
        reached = (t for t, n in zip(self.times, counts, strict=True) if t >= self.step_s and n >= replicas)
        return next((t - self.step_s for t in reached), None)


def state() -> tuple[int, int]:
    """Replicas of the fake model that were decided on, and those that run."""
    from ray import serve

    states = serve.status().applications["scaling"].deployments["FakeModel"].replica_states
    running = states.get("RUNNING", 0)
    return running + states.get("STARTING", 0), running


async def record(many: int, up_s: float, down_s: float) -> Record:
    """Serve the fake model and load it: 3 s of one caller, ``up_s`` of many, ``down_s`` of one."""
    from ray import serve

    from deployments.autoscaling import BUSY, COST_S
    from deployments.batching.work import WorkMeter

    @serve.deployment(
        max_ongoing_requests=4,
        autoscaling_config=AUTOSCALING,
        graceful_shutdown_timeout_s=10,
        ray_actor_options={"num_cpus": 0.1},
    )
    class FakeModel:
        """Takes IMAGE_S an image, one at a time."""

        def __init__(self) -> None:
            self.work = WorkMeter()
            self.device = asyncio.Lock()

        async def __call__(self) -> None:
            with self.work.item():
                async with self.device:
                    await asyncio.sleep(IMAGE_S)

        def record_autoscaling_stats(self) -> dict[str, float]:
            return {BUSY: self.work.busy(), COST_S: self.work.cost_s()}

    handle = await asyncio.to_thread(serve.run, FakeModel.bind(), name="scaling", route_prefix=None)  # type: ignore[attr-defined]
    seen, started, callers = Record(), time.monotonic(), 0

    async def call(until: float) -> None:
        nonlocal callers
        callers += 1
        while time.monotonic() < until:
            try:
                await handle.remote()
                seen.answers += 1
            except Exception:
                seen.lost += 1
        callers -= 1

    async def watch() -> None:
        while True:
            target, running = await asyncio.to_thread(state)
            seen.targets.append(target)
            seen.replicas.append(running)
            seen.times.append(time.monotonic() - started)
            seen.callers.append(callers)
            await asyncio.sleep(0.25)

    watching = asyncio.create_task(watch())
    await call(time.monotonic() + 3)
    seen.step_s = time.monotonic() - started
    await asyncio.gather(*(call(time.monotonic() + up_s) for _ in range(many)))
    await call(time.monotonic() + down_s)
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    return seen


def draw(seen: Record, path: Path) -> None:
    """Callers and replicas over time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panel = pyplot.subplots(figsize=(8, 3), constrained_layout=True)
    panel.step(seen.times, seen.targets, where="post", color="tab:blue", linestyle=":", label="decided on")
    panel.step(seen.times, seen.replicas, where="post", color="tab:blue", label="running")
    panel.legend(loc="upper left")
    panel.set(xlabel="seconds", ylim=(0, 3.3))
    panel.set_ylabel("replicas", color="tab:blue")
    callers = panel.twinx()
    callers.step(seen.times, seen.callers, where="post", color="0.6")
    callers.set_ylabel("callers", color="0.4")
    panel.set_title(f"{seen.answers} answers, {seen.lost} lost")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Record, print, and draw where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--up-s", type=float, default=25)
    parser.add_argument("--down-s", type=float, default=25)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    import ray
    from ray import serve

    # A socket's path may have 107 characters at most, so not below a long TMPDIR.
    with tempfile.TemporaryDirectory(prefix="mg", dir="/tmp") as folder:
        ray.init(_temp_dir=folder, include_dashboard=False, num_cpus=4, log_to_driver=False)
        serve.start(proxy_location="Disabled")
        seen = asyncio.run(record(arguments.callers, arguments.up_s, arguments.down_s))
        serve.shutdown()
        ray.shutdown()
    for replicas in (2, 3):
        decided, ran = (seen.seconds_to(counts, replicas) for counts in (seen.targets, seen.replicas))
        print(f"seconds from the step to {replicas} replicas: decided {decided}, running {ran}")
    print(f"replicas at the end: {seen.replicas[-1]}; answers: {seen.answers}; lost: {seen.lost}")
    if arguments.picture:
        draw(seen, arguments.picture)
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(seen)))


if __name__ == "__main__":
    main()
