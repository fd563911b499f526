"""Two nodes under load: other models are rolled out, then a node is lost. ``python -m benchmarks.cluster_run``.

The graph around networks that only take their time (benchmarks/noop_graph.py), a replica of each deployment on each
node of ``ray.cluster_utils.Cluster``, on this machine. Prints as JSON what became of the photos.
"""

import argparse
import asyncio
import json
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from benchmarks.lineup import CONFIG, free_port
from benchmarks.photos import photo

RATE = 4.0
"""Photos a second."""
BATCH_S = 0.3
"""Of each network: about one photo is in each of them at any time."""
BEFORE_S, AFTER_S = 4.0, 25.0
"""Of load, around each event."""


@dataclass
class Load:
    """Photos one after the other at RATE, each with the status and the model of its answer."""

    url: str
    answers: list[tuple[float, float, int, str]] = field(default_factory=list)
    """When it was asked, seconds that it took, status or 0, mask detection's model."""

    async def run(self) -> None:
        """Until it is cancelled; then those that are under way still end."""
        body, headers = photo(640, 480), {"Content-Type": "image/jpeg"}
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def ask() -> None:
                started = time.monotonic()
                status, model = 0, ""
                try:
                    async with session.post(self.url, data=body, headers=headers) as answer:
                        text = await answer.read()
                        status = answer.status
                        if status == 200:
                            told = json.loads(text)
                            model = told["models"]["mask_detection"]
                            status = 200 if not told["images"][0]["errors"] else 207
                except (aiohttp.ClientError, TimeoutError):
                    pass
                self.answers.append((started, time.monotonic() - started, status, model))

            asked = set()
            try:
                while True:
                    asked.add(asyncio.create_task(ask()))
                    await asyncio.sleep(1 / RATE)
            finally:
                await asyncio.gather(*asked)

    def between(self, start: float, end: float) -> dict[str, Any]:
        """What became of the photos that were asked for then; 207 stands for an answer of one branch alone."""
        some = [each for each in self.answers if start <= each[0] < end]
        return {
            "photos": len(some),
            "statuses": dict(Counter(each[2] for each in some)),
            "slowest_s": round(max(each[1] for each in some), 1),
            "models": dict(Counter(each[3] for each in some)),
        }


def second_version(folder: Path) -> str:
    """A card of the mask detector that differs in its version; its weights are not looked at."""
    from deployments.models.card import card_path

    card = yaml.safe_load(card_path("face_mask").read_text(encoding="utf-8"))
    file = folder / "face_mask.yaml"
    file.write_text(yaml.safe_dump({**card, "version": "2"}), encoding="utf-8")
    return str(file)


async def measure(folder: Path) -> dict[str, Any]:
    """Start, load, roll out, lose."""
    import ray
    from ray import serve
    from ray.cluster_utils import Cluster

    from benchmarks.noop_graph import graph
    from serve_app.settings import Settings

    node: dict[str, Any] = {"num_cpus": 4, "object_store_memory": 150 * 1024 * 1024}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    second = cluster.add_node(**node)
    ray.init(address=cluster.address, log_to_driver=False)
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    port = free_port(8300)
    spread = {"num_replicas": 2, "max_replicas_per_node": 1, "ray_actor_options": {"num_cpus": 0.1}}

    def deploy(settings: Settings) -> None:
        serve.run(graph(settings, BATCH_S, **spread), name="maskgraph")

    try:
        serve.start(
            proxy_location="HeadOnly",
            http_options={"host": "127.0.0.1", "port": port},
            controller_options=config["controller_options"],
        )
        await asyncio.to_thread(deploy, Settings())
        load = Load(f"http://127.0.0.1:{port}/analyze")
        task = asyncio.create_task(load.run())
        times = [time.monotonic()]
        await asyncio.sleep(BEFORE_S)
        await asyncio.to_thread(deploy, Settings(mask_detection=second_version(folder)))
        await asyncio.sleep(AFTER_S)
        times.append(time.monotonic())
        await asyncio.sleep(BEFORE_S)
        await asyncio.to_thread(cluster.remove_node, second, allow_graceful=False)
        await asyncio.sleep(AFTER_S)
        times.append(time.monotonic())
        task.cancel()
        await asyncio.wait([task])
        return {name: load.between(*times[i : i + 2]) for i, name in enumerate(("rolled_out", "node_lost"))}
    finally:
        serve.shutdown()
        ray.shutdown()
        cluster.shutdown()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    folder = Path(tempfile.mkdtemp(prefix="cluster-"))
    try:
        print(json.dumps(asyncio.run(measure(folder))))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
