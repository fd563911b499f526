"""What clients notice while a cluster of two nodes changes: ``python -m benchmarks.cluster``.

Two nodes of Ray on this machine, with a token: ``serve deploy``, a threshold changed in place, a rolling redeploy, and
a node that is lost and comes back, each under a steady load of which every answer counts.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Annotated, Any, Self

import aiohttp
import orjson
import typer
import yaml

from benchmarks.lineup import CONFIG, free_port
from benchmarks.photos import photo
from serve_app.commands.bench.loadgen import http_session
from serve_app.commands.serving.environment import set_for_serving

PER_NODE = 2
"""CPUs that each node says it has."""
READY_S = 300.0


class Watch:
    """A steady load on a thread of its own, and what became of it in each phase."""

    def __init__(self, url: str, picture: bytes, every_s: float) -> None:
        self.url, self.picture, self.every_s = url, picture, every_s
        self.phase = "before"
        self.answers: dict[str, Counter[str]] = {}
        self.slowest_s: dict[str, float] = {}
        self.instances = 0
        """In the last answer."""
        self._stop = Event()
        self._thread = Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for what was asked."""
        self._stop.set()
        self._thread.join()

    async def _run(self) -> None:
        async with http_session() as session, asyncio.TaskGroup() as asked:
            while not self._stop.is_set():
                asked.create_task(self._ask(session))
                await asyncio.sleep(self.every_s)

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        phase, began = self.phase, time.monotonic()
        try:
            async with session.post(self.url, data=self.picture, headers={"Content-Type": "image/jpeg"}) as answer:
                body = await answer.read()
                kind = f"{answer.status}"
                if answer.status == 200:
                    (image,) = orjson.loads(body)["images"]
                    self.instances = len(image["instances"])
                    kind += "".join(f" without {error['task']}" for error in image["errors"])
        except (aiohttp.ClientError, TimeoutError) as error:
            kind = type(error).__name__
        self.answers.setdefault(phase, Counter())[kind] += 1
        self.slowest_s[phase] = max(self.slowest_s.get(phase, 0.0), time.monotonic() - began)


class Demo:
    """The cluster, its config, and its clients' commands."""

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        self.folder = folder
        self.dashboard = free_port(8365)
        head = {"num_cpus": PER_NODE, "include_dashboard": True, "dashboard_port": self.dashboard}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.second = self.cluster.add_node(num_cpus=PER_NODE)
        self.config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
        self.config["http_options"]["port"] = self.port = free_port(8100)
        self.config["grpc_options"]["port"] = free_port(9100)
        for deployment in self.config["applications"][0]["deployments"]:
            deployment |= {"num_replicas": 2, "max_replicas_per_node": 1}
        self.config["applications"][0]["args"]["threads"] = 1

    def serve(self, *words: str, token: bool = True) -> subprocess.CompletedProcess[str]:
        """Ray's command of another shell, which says RAY_AUTH_MODE=token or nothing of it."""
        environment = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"}
        if token:
            environment["RAY_AUTH_MODE"] = "token"
        command = [str(Path(sys.executable).with_name("serve")), *words, f"--address=http://127.0.0.1:{self.dashboard}"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def deploy(self) -> None:
        file = self.folder / "app.yaml"
        file.write_text(yaml.safe_dump(self.config), encoding="utf-8")
        done = self.serve("deploy", str(file))
        if done.returncode:
            sys.exit(done.stderr)

    def replicas(self) -> list[dict[str, Any]]:
        """Of all deployments, as Serve says."""
        status = yaml.safe_load(self.serve("status").stdout) or {}
        application = status.get("applications", {}).get("maskgraph", {})
        return [{"name": name, **each} for name, each in application.get("deployments", {}).items()]

    def settled(self) -> bool:
        """Whether every deployment has the replicas that it should, and none starts or stops."""
        found = self.replicas()
        return bool(found) and all(
            each["status"] == "HEALTHY" and each["replica_states"] == {"RUNNING": 2} for each in found
        )


def until(condition: Callable[[], bool]) -> float:
    """Seconds until it holds."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > READY_S:
            sys.exit("not within the time that this script waits")
        time.sleep(0.5)
    return time.monotonic() - began


def show(demo: Demo, every_s: float) -> None:
    """All of it, in order."""
    refused = demo.serve("status", token=False)
    print("serve status without RAY_AUTH_MODE:", refused.stderr.strip().splitlines()[-1])
    demo.deploy()
    print(f"serve deploy: two replicas of each, one a node, after {until(demo.settled):.0f} s")
    models = {each["name"]: each for each in demo.config["applications"][0]["deployments"]}
    with Watch(f"http://127.0.0.1:{demo.port}/analyze", photo(840, 525), every_s) as watch:
        time.sleep(10)

        watch.phase, before, began = "threshold in place", watch.instances, time.monotonic()
        models["InstanceSegmentation"]["user_config"] = {"thresholds": {"score_threshold": 0.99}}
        demo.deploy()
        until(lambda: watch.instances < before)
        took = time.monotonic() - began
        print(f"threshold 0.99: {watch.instances} instances instead of {before}, {took:.1f} s after serve deploy began")

        watch.phase = "rolling redeploy"
        models["InstanceSegmentation"]["user_config"] = {}
        demo.config["applications"][0]["args"]["max_images"] = 32
        demo.deploy()
        time.sleep(5)
        print(f"args changed: every replica replaced after {5 + until(demo.settled):.0f} s")

        watch.phase = "node lost"
        demo.cluster.remove_node(demo.second, allow_graceful=False)
        time.sleep(20)

        watch.phase = "node back"
        demo.second = demo.cluster.add_node(num_cpus=PER_NODE)
        print(f"another node 20 s after one was lost: all replicas again after {until(demo.settled):.0f} s")
        time.sleep(5)
    for phase, counts in watch.answers.items():
        told = ", ".join(f"{count} x {kind}" for kind, count in counts.items())
        print(f"{phase}: {told}; slowest {watch.slowest_s[phase]:.1f} s")


def main(
    every_s: Annotated[float, typer.Option(help="A photo is sent so often, whatever became of the others.")] = 0.7,
) -> None:
    set_for_serving(os.environ, load=False)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token")}
        (folder / "token").write_text(os.urandom(32).hex())
        demo = Demo(folder)
        try:
            show(demo, every_s)
        finally:
            demo.cluster.shutdown()


if __name__ == "__main__":
    typer.run(main)
